"""The engine of simulated nodes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from zeekfleet.model.launch import GRACE_CEILING, LaunchContext, LaunchSpec
from zeekfleet.model.names import AGENT_SOCKET
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.simulator.configuration import CONFIG_FILE, CONFIG_VARIABLE, NAME_VARIABLE, missing_input
from zeekfleet.node.simulator.files import files
from zeekfleet.node.simulator.links import SimulatedNodeLinks
from zeekfleet.planning import layout, listeners
from zeekfleet.planning.checks import Needs
from zeekfleet.planning.node_settings import cpus_of
from zeekfleet.system.privileges import acting_as
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Connections

# -P keeps the working directory off the import path: a file json.py there must not replace the standard module.
PROGRAM = (sys.executable, "-P", "-m", "zeekfleet.node.simulator")


class SimulatorEngine:
    """Launches simulated nodes.

    Attributes:
        name: ``sim``.
        description: for a person.
    """

    name = "sim"
    description = "simulated nodes (no Zeek, no traffic is looked at)"
    program: str | None = None
    reads_traffic = False
    has_start_barrier = False

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """How to run the node. Its configuration is passed in a file in its directory."""
        bare = context.bare_mode if config.bare_mode is None else config.bare_mode
        resolved = msgspec.structs.replace(config, bare_mode=bare)
        return LaunchSpec(
            name=config.name,
            argv=PROGRAM,
            env={**context.environment, **config.env, NAME_VARIABLE: config.name, CONFIG_VARIABLE: CONFIG_FILE},
            directory=context.directory,
            stdout_file=context.stdout_file,
            stderr_file=context.stderr_file,
            files=files(resolved),
            cpu_affinity=config.cpu_affinity,
            grace_ceiling=GRACE_CEILING if layout.writes_logs(resolved) else 0.0,
        )

    def needs(self, config: NodeConfig) -> Needs:
        """The node's CPUs and its metrics port. The interface is not opened, so any name is accepted."""
        return Needs(config.name, cpus=cpus_of(config), listeners=listeners.of_simulated_node(config))

    async def check(self, config: NodeConfig, context: LaunchContext, _scratch: Path) -> list[str]:
        """Check that the node's scripts and its trace exist."""
        scripts = (*config.addl_base_scripts, *config.addl_user_scripts)

        def look() -> str | None:
            with acting_as(context.user):
                return missing_input(scripts, config.pcap_file, context.directory)

        problem = await asyncio.to_thread(look)
        return [problem] if problem is not None else []

    def prepare(self) -> None:
        """Do nothing: nodes run in this Python interpreter."""

    def links(self, bus: Bus, connections: Connections, directory: Path) -> SimulatedNodeLinks:
        """Nodes dial their agent."""
        return SimulatedNodeLinks(bus, directory / AGENT_SOCKET)
