"""What zeekfleet needs to know of one kind of node, and nothing else does: real Zeeks, or simulated nodes.

The supervisor launches nodes with an engine (:class:`zeekfleet.model.launch.Engine` is all it
needs of one). The agent checks nodes with the same engine before a deployment, and reaches
them through its :class:`NodeLinks`.
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
from zeekfleet.transport.endpoint import Endpoint

Readiness = Callable[[NodeConfig], Coroutine[Any, Any, None]]
"""Returns when the node is up, or is known not to come up."""


class KnownNodes(Protocol):
    """What the agent knows of its nodes, as far as a gate asks."""

    async def settle(self, names: Collection[str]) -> None:
        """Return when each of these has said hello, or is known not to come up."""
        ...

    async def failure_of(self, name: str) -> None:
        """Return when the node is known not to come up."""
        ...


class NodeLinks(Protocol):
    """How an agent and the nodes of one engine reach each other."""

    def variables(
        self, nodes: Mapping[str, Node], running: Mapping[str, NodeConfig], configuration: Configuration
    ) -> dict[str, dict[str, str]]:
        """By node of ours, the variables to launch it with; a node that runs already keeps what it has."""
        ...

    def take_keys(self, keys: CurveKeys) -> None:
        """Keep the keys for clusters on several hosts.

        Raises:
            OSError: they cannot be kept.
        """
        ...

    def follow(self, running: Mapping[str, int], configs: Mapping[str, NodeConfig]) -> None:
        """Connect to what runs now: pids and launch configurations by node."""
        ...

    def send(self, request: NodeDispatchRequest) -> None:
        """Send a dispatch to the nodes that it names."""
        ...

    def hear(self, listener: Callable[[Event], None]) -> None:
        """Have a listener called with what nodes say by other ways than the endpoint."""
        ...

    def take_another(self, silent: Collection[str], asked: Collection[str]) -> bool:
        """If nobody answers who shares one way, choose another for them; whether that was so."""
        ...

    def readiness(self, nodes: KnownNodes) -> Readiness:
        """When a node is up, so that the group after its own may begin: what *up* means is said here alone.

        A node that is known not to come up holds up nobody either.
        """
        ...

    def close(self) -> None:
        """Let go of everything that is not the endpoint's."""
        ...


class Engine(launch.Engine, Protocol):
    """One kind of node.

    Attributes:
        name: ``zeek`` or ``sim``.
        has_start_barrier: whether nodes can be launched and held until they may begin (``agent/start_barrier.py``).
    """

    has_start_barrier: bool

    @property
    def description(self) -> str:
        """For a person; known once prepared."""
        ...

    @property
    def program(self) -> str | None:
        """The nodes' program where its file may bring capabilities, else None; known once prepared."""
        ...

    def prepare(self) -> None:
        """Find what nodes run, which may take a second: call it in a thread, before ``check`` and ``program``.

        Raises:
            ConfigurationError: it is missing, or cannot be used.
        """
        ...

    def needs(self, config: NodeConfig) -> Needs:
        """What the node needs of its host."""
        ...

    async def check(self, config: NodeConfig, context: launch.LaunchContext, scratch: Path) -> list[str]:
        """What keeps the node's scripts and files from being loaded, a text each.

        Args:
            config: the node's.
            context: where it would be launched.
            scratch: an empty directory to try in.

        Raises:
            LaunchError: the node could not even be launched.
            OSError: it cannot be tried.
        """
        ...

    def links(self, endpoint: Endpoint, directory: Path) -> NodeLinks:
        """How an agent reaches such nodes.

        Args:
            endpoint: the agent's.
            directory: the agent's own; its socket for nodes is there.
        """
        ...
