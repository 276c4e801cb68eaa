"""How an agent and simulated nodes reach each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.node import NodeDispatchRequest
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import AGENT_LINK
from zeekfleet.node.engine import KnownNodes, Readiness
from zeekfleet.transport.bus import Bus


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
