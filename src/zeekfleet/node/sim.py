"""The engine of simulated nodes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from zeekfleet.model.launch import GRACE_CEILING, LaunchContext, LaunchSpec
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.simulator import configuration
from zeekfleet.node.simulator.configuration import CONFIG_FILE, CONFIG_VARIABLE, NAME_VARIABLE
from zeekfleet.node.simulator.identifiers import cluster_nodes_text
from zeekfleet.planning import layout, listeners
from zeekfleet.planning.checks import Needs
from zeekfleet.planning.node_settings import cpus_of

# -P keeps the node's directory off the import path: a stray json.py there must not become ours.
PROGRAM = (sys.executable, "-P", "-m", "zeekfleet.node.simulator")


class SimEngine:
    """Launches simulated nodes, forked from one warm process.

    Attributes:
        name: ``sim``.
        description: for a person.
    """

    name = "sim"
    description = "simulated nodes (no Zeek, no traffic is looked at)"
    program: str | None = None

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """How to run the node; its configuration travels as a file in its directory."""
        bare = context.bare_mode if config.bare_mode is None else config.bare_mode
        resolved = msgspec.structs.replace(config, bare_mode=bare)
        return LaunchSpec(
            name=config.name,
            argv=PROGRAM,
            env={**context.environment, **config.env, NAME_VARIABLE: config.name, CONFIG_VARIABLE: CONFIG_FILE},
            directory=context.directory,
            stdout_file=context.stdout_file,
            stderr_file=context.stderr_file,
            files=configuration.files(resolved, cluster_nodes_text(resolved)),
            cpu_affinity=config.cpu_affinity,
            grace_ceiling=GRACE_CEILING if layout.writes_logs(resolved) else 0.0,
            forkserver=(*PROGRAM, "--forkserver"),
        )

    def needs(self, config: NodeConfig) -> Needs:
        """CPUs and a port for metrics; any interface will do, as it is not opened."""
        return Needs(config.name, cpus=cpus_of(config), listeners=listeners.of_simulated_node(config))

    async def check(self, config: NodeConfig, context: LaunchContext, _scratch: Path) -> list[str]:
        """Whether the scripts and capture file are there that the node would look for."""
        problem = await asyncio.to_thread(configuration.missing_input, config, Path(context.directory))
        return [problem] if problem is not None else []
