"""The interface of an engine. Everything that differs between real Zeeks and simulated nodes is behind it.

The supervisor launches nodes with an engine, and needs only :class:`zeekfleet.model.launch.Engine`.
The agent checks nodes with the same engine before a deployment, and reaches them through the
engine's :class:`NodeLinks`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.node import NodeDispatchRequest
from zeekfleet.model import launch
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.planning.checks import Needs
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Connections

Readiness = Callable[[NodeConfig], Coroutine[Any, Any, None]]
"""Waits until the node is up or has failed."""


class KnownNodes(Protocol):
    """The part of the agent's knowledge about its nodes that :data:`Readiness` needs."""

    async def wait_until_settled(self, names: Collection[str]) -> None:
        """Wait until each of these nodes has said hello or has failed."""
        ...

    async def wait_until_failed(self, name: str) -> None:
        """Wait until the node has failed."""
        ...


class NodeLinks(Protocol):
    """How an agent and the nodes of one engine reach each other."""

    def variables(
        self, nodes: Mapping[str, Node], running: Mapping[str, NodeConfig], configuration: Configuration
    ) -> dict[str, dict[str, str]]:
        """The variables to launch each of our nodes with, by node; a running node keeps its present values."""
        ...

    def store_keys(self, keys: CurveKeys) -> None:
        """Keep the keys for clusters on several hosts.

        Raises:
            OSError: they cannot be kept.
        """
        ...

    def follow(self, running: Mapping[str, int], configs: Mapping[str, NodeConfig]) -> None:
        """Connect to the nodes that run now.

        Args:
            running: their process ids, by node.
            configs: the launch configurations of all nodes, by node.
        """
        ...

    def send(self, request: NodeDispatchRequest) -> None:
        """Send a dispatch to the nodes that it names."""
        ...

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Have ``listener`` called with the events of nodes that do not arrive at the bus."""
        ...

    def switch_connection(self, silent: Collection[str], asked: Collection[str]) -> bool:
        """If all nodes that share one connection are silent, use another connection; returns whether it did.

        Args:
            silent: the nodes that have not answered.
            asked: the nodes that were asked.
        """
        ...

    def readiness(self, nodes: KnownNodes) -> Readiness:
        """The function that decides when a node is up, so that the next group of nodes may start.

        Nodes do not wait for a node that has failed.
        """
        ...

    def close(self) -> None:
        """Close everything except the bus."""
        ...


class Engine(launch.Engine, Protocol):
    """One kind of node.

    Attributes:
        name: ``zeek`` or ``sim``.
        reads_traffic: whether nodes look at traffic, or only play nodes that do.
        has_start_barrier: whether launched nodes can be made to wait before they work (``agent/start_barrier.py``).
    """

    reads_traffic: bool
    has_start_barrier: bool

    @property
    def description(self) -> str:
        """A description for a person; call ``prepare`` before."""
        ...

    @property
    def program(self) -> str | None:
        """The path of the nodes' program, if its file may have capabilities, else None; call ``prepare`` before."""
        ...

    def prepare(self) -> None:
        """Find the nodes' program. This may take a second, so call it in a thread.

        Raises:
            ConfigurationError: the program is missing, or cannot be used.
        """
        ...

    def needs(self, config: NodeConfig) -> Needs:
        """What the node needs of its host."""
        ...

    async def check(self, config: NodeConfig, context: launch.LaunchContext, scratch: Path) -> list[str]:
        """The reasons why the node's scripts and files cannot be loaded, one text each; call ``prepare`` before.

        Args:
            config: the node's launch configuration.
            context: its launch context.
            scratch: an empty directory to try it in.

        Raises:
            LaunchError: the node cannot be launched as configured.
            OSError: the scripts cannot be checked.
        """
        ...

    def links(self, bus: Bus, connections: Connections, directory: Path) -> NodeLinks:
        """How an agent reaches nodes of this kind.

        Args:
            bus: the agent's bus.
            connections: for dialling nodes that do not connect to the agent.
            directory: the agent's directory, which has its socket for nodes.
        """
        ...
