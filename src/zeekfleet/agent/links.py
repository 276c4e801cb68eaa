"""How the agent and its nodes reach each other.

A simulated node dials the agent's socket. A real Zeek opens a WebSocket on
loopback, and the agent dials one node that has one: over the cluster's own
pub/sub that reaches all of them. A logger never opens one: with ZeroMQ it
would hang (zeek-facts).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from zeekfleet.broker import topics
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Node
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.planning.layout import Backend, may_open_websocket
from zeekfleet.transport.endpoint import Endpoint

AGENT_LINK = "ZEEKFLEET_AGENT_LINK"
WEBSOCKET_PORT = "ZEEKFLEET_WEBSOCKET_PORT"
LOOPBACK = "127.0.0.1"


class NodeLinks(Protocol):
    """One engine's way."""

    def variables(self, nodes: Mapping[str, Node], running: Mapping[str, NodeConfig]) -> dict[str, dict[str, str]]:
        """By node, the variables to launch it with; a node that runs already keeps what it has."""
        ...

    def follow(self, running: Mapping[str, int], configs: Mapping[str, NodeConfig]) -> None:
        """Connect to what runs now: pids and launch configurations by node."""
        ...

    def take_another(self) -> bool:
        """Nobody answers by the present way: choose another; False if there is none."""
        ...


class DialledByNodes:
    """Nodes dial the agent's Unix socket."""

    def __init__(self, path: Path) -> None:
        self._address = f"unix:{path}"

    def variables(self, nodes: Mapping[str, Node], running: Mapping[str, NodeConfig]) -> dict[str, dict[str, str]]:
        """The same for all."""
        return {name: {AGENT_LINK: self._address} for name in nodes}

    def follow(self, running: Mapping[str, int], configs: Mapping[str, NodeConfig]) -> None:
        """Nothing to do: they come."""

    def take_another(self) -> bool:
        """Each node has a way of its own."""
        return False


class DialsOneNode:
    """The agent dials a node's WebSocket; when that node goes, another's."""

    def __init__(self, endpoint: Endpoint, backend: Backend) -> None:
        self._endpoint = endpoint
        self._backend = backend
        self._port: int | None = None
        self._candidates: list[int] = []

    def variables(self, nodes: Mapping[str, Node], running: Mapping[str, NodeConfig]) -> dict[str, dict[str, str]]:
        """A port for each node that may have a WebSocket: its present one, else a free one."""
        wanted = [name for name, node in nodes.items() if node.role is not ClusterRole.LOGGER]
        kept = {name: running[name].env[WEBSOCKET_PORT] for name in wanted if _has_port(running.get(name))}
        missing = [name for name in wanted if name not in kept]
        fresh = dict(zip(missing, free_ports(len(missing), set(kept.values())), strict=True))
        return {name: {WEBSOCKET_PORT: kept.get(name) or fresh[name]} for name in wanted}

    def follow(self, running: Mapping[str, int], configs: Mapping[str, NodeConfig]) -> None:
        """Keep the present link while its node runs; else take the first node that runs and has a port."""
        listening = (configs[name] for name in sorted(running) if _has_port(configs.get(name)))
        ports = [int(config.env[WEBSOCKET_PORT]) for config in listening if may_open_websocket(config, self._backend)]
        self._candidates = ports
        if self._port not in ports:
            self._dial(ports[0] if ports else None)

    def take_another(self) -> bool:
        """Dial the next node after the present one."""
        if len(self._candidates) < 2:
            return False
        place = self._candidates.index(self._port) + 1 if self._port in self._candidates else 0
        self._dial(self._candidates[place % len(self._candidates)])
        return True

    def _dial(self, port: int | None) -> None:
        if self._port is not None:
            self._endpoint.unpeer(LOOPBACK, self._port)
        self._port = port
        if port is not None:
            self._endpoint.peer(LOOPBACK, port, publish=(topics.NODE,))


def _has_port(config: NodeConfig | None) -> bool:
    return config is not None and WEBSOCKET_PORT in config.env


def free_ports(count: int, taken: set[str]) -> list[str]:
    """Ports on loopback that nobody listens on now; held all at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count + len(taken))]
    try:
        for listener in sockets:
            listener.bind((LOOPBACK, 0))
        ports = (str(listener.getsockname()[1]) for listener in sockets)
        return [port for port in ports if port not in taken][:count]
    finally:
        for listener in sockets:
            listener.close()
