"""The engine of simulated nodes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.node import NodeDispatchRequest
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.launch import GRACE_CEILING, LaunchContext, LaunchSpec
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.names import AGENT_SOCKET
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import AGENT_LINK
from zeekfleet.node.engine import KnownNodes, Readiness
from zeekfleet.node.simulator.configuration import CONFIG_FILE, CONFIG_VARIABLE, NAME_VARIABLE, missing_input
from zeekfleet.node.simulator.files import files
from zeekfleet.planning import layout, listeners
from zeekfleet.planning.checks import Needs
from zeekfleet.planning.node_settings import cpus_of
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Connections

# -P keeps the working directory off the import path: a file json.py there must not replace the standard module.
PROGRAM = (sys.executable, "-P", "-m", "zeekfleet.node.simulator")


class SimEngine:
    """Launches simulated nodes.

    Attributes:
        name: ``sim``.
        description: for a person.
    """

    name = "sim"
    description = "simulated nodes (no Zeek, no traffic is looked at)"
    program: str | None = None
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
        problem = await asyncio.to_thread(missing_input, scripts, config.pcap_file, context.directory)
        return [problem] if problem is not None else []

    def prepare(self) -> None:
        """Do nothing: nodes run in this Python interpreter."""

    def links(self, bus: Bus, connections: Connections, directory: Path) -> SimulatedNodeLinks:
        """Nodes dial their agent."""
        return SimulatedNodeLinks(bus, directory / AGENT_SOCKET)


class SimulatedNodeLinks:
    """Nodes dial the agent's Unix socket."""

    def __init__(self, bus: Bus, socket: Path) -> None:
        self._bus = bus
        self._address = f"unix:{socket}"

    def variables(
        self, nodes: Mapping[str, Node], running: Mapping[str, NodeConfig], configuration: Configuration
    ) -> dict[str, dict[str, str]]:
        """The same address for all nodes."""
        return {name: {AGENT_LINK: self._address} for name in nodes}

    def store_keys(self, keys: CurveKeys) -> None:
        """Do nothing: simulated nodes have no connections to each other."""

    def follow(self, running: Mapping[str, int], configs: Mapping[str, NodeConfig]) -> None:
        """Do nothing: nodes dial the agent."""

    def send(self, request: NodeDispatchRequest) -> None:
        """Publish it for all nodes; those that it does not name do not answer."""
        self._bus.publish(topics.NODE, request)

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Do nothing: all events of nodes arrive over the bus."""

    def switch_connection(self, silent: Collection[str], asked: Collection[str]) -> bool:
        """Do nothing: each node has a connection of its own."""
        return False

    def readiness(self, nodes: KnownNodes) -> Readiness:
        """A node is up when it has said hello."""

        async def wait(config: NodeConfig) -> None:
            await nodes.wait_until_settled((config.name,))

        return wait

    def close(self) -> None:
        """Do nothing: the bus closes the connections."""
