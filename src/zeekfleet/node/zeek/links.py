"""How an agent reaches real Zeeks.

Zeeks listen for WebSocket clients on loopback, and the agent dials one of them. The cluster's own
pub/sub forwards the agent's requests to all others. A logger must not listen: with ZeroMQ it would
hang (docs/zeek-facts.md, section 2). Therefore a logger has a mailbox as well, by which the agent
reaches it even if it is alone on its instance, or if the manager is down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.node import NodeDispatchRequest
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.model.enums import ClusterRole, Role
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import WEBSOCKET_PORT
from zeekfleet.node.engine import KnownNodes, Readiness
from zeekfleet.node.zeek.cluster_settings import ClusterSettings
from zeekfleet.node.zeek.mailbox import Mailboxes
from zeekfleet.node.zeek.status_files import StatusFiles
from zeekfleet.node.zeek.websocket_ports import WebSocketPorts
from zeekfleet.planning.layout import Backend, may_open_websocket
from zeekfleet.planning.mailbox import MAILBOX_DIRECTORY, needs_mailbox
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Connections
from zeekfleet.waiting import first_of


class ZeekLinks:
    """Dials one node's WebSocket, and another node's when that node ends. Nodes without WebSocket have a mailbox.

    A node is dialled when its status file says that it runs; before that, it would refuse.

    Args:
        bus: the agent's bus.
        connections: the agent's, for dialling nodes.
        backend: the cluster back end.
        cluster: what all nodes of the cluster have in common.
        statuses: tells which nodes are up.
    """

    def __init__(
        self, bus: Bus, connections: Connections, backend: Backend, cluster: ClusterSettings, statuses: StatusFiles
    ) -> None:
        self._bus = bus
        self._connections = connections
        self._backend = backend
        self._cluster = cluster
        self._websockets = WebSocketPorts()
        self._mailboxes = Mailboxes()
        self._statuses = statuses
        statuses.on_change = self._choose
        self._node: str | None = None
        self._port: int | None = None
        self._ports: dict[str, int] = {}

    def variables(
        self, nodes: Mapping[str, Node], running: Mapping[str, NodeConfig], configuration: Configuration
    ) -> dict[str, dict[str, str]]:
        """A port for each node that may listen, its present one or a free one; and what all nodes have in common."""
        wanted = [name for name, node in nodes.items() if node.role is not ClusterRole.LOGGER]
        kept = {name: running[name].env[WEBSOCKET_PORT] for name in wanted if _has_port(running.get(name))}
        missing = [name for name in wanted if name not in kept]
        fresh = dict(zip(missing, self._websockets.choose(len(missing), kept.values()), strict=True))
        ports = kept | fresh
        common = self._cluster.variables(configuration, running) if self._backend is Backend.ZEROMQ else {}
        own = {name: {WEBSOCKET_PORT: ports[name]} if name in ports else {} for name in nodes}
        return {name: common | variables for name, variables in own.items()}

    def store_keys(self, keys: CurveKeys) -> None:
        """Keep the keys for nodes that are launched from now on."""
        self._cluster.store_keys(keys)

    def follow(self, running: Mapping[str, int], configs: Mapping[str, NodeConfig]) -> None:
        """Keep the present connection while its node runs; else dial the first node that is up and listens."""
        self._cluster.follow(configs)
        known = {name: configs[name] for name in sorted(running) if name in configs}
        self._ports = {
            name: int(config.env[WEBSOCKET_PORT])
            for name, config in known.items()
            if _has_port(config) and may_open_websocket(config, self._backend)
        }
        directories = {name: Path(config.directory) for name, config in known.items() if config.directory is not None}
        self._statuses.follow({name: (running[name], directory) for name, directory in directories.items()})
        self._mailboxes.follow(
            {
                name: directory / MAILBOX_DIRECTORY
                for name, directory in directories.items()
                if needs_mailbox(known[name], self._backend)
            }
        )
        self._choose()

    def _choose(self) -> None:
        if self._node is None or self._ports.get(self._node) != self._port or self._node not in self._statuses.up:
            up = [name for name in self._ports if name in self._statuses.up]
            self._dial(up[0] if up else None)

    def send(self, request: NodeDispatchRequest) -> None:
        """Send it over the WebSocket, and also to the mailboxes of the named nodes.

        Pub/sub is faster than a mailbox, but may not reach the node. A node that receives both acts only once.
        """
        self._bus.publish(topics.NODE, request)
        for name in sorted(request.nodes):
            if name in self._mailboxes:
                self._mailboxes.send(request.reqid, request.action, name)

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Have ``listener`` called with the events that arrive in mailboxes."""
        self._mailboxes.on_event = listener

    def switch_connection(self, silent: Collection[str], asked: Collection[str]) -> bool:
        """If none of the nodes without mailbox answers, dial the next node."""
        shared = {name for name in asked if name not in self._mailboxes}
        candidates = [name for name in self._ports if name in self._statuses.up]
        if len(shared) < 2 or not shared <= set(silent) or len(candidates) < 2:
            return False
        place = candidates.index(self._node) + 1 if self._node in candidates else 0
        self._dial(candidates[place % len(candidates)])
        return True

    def readiness(self, nodes: KnownNodes) -> Readiness:
        """A node is up when its status file says RUNNING.

        By then it has run all handlers of ``zeek_init``, including ours, and takes part in the cluster. A hello tells
        less: it may arrive earlier, or much later.
        """

        async def wait(config: NodeConfig) -> None:
            await first_of(self._statuses.wait_for(config.name), nodes.wait_until_failed(config.name))

        return wait

    def close(self) -> None:
        """Stop watching files, and release all ports."""
        self._mailboxes.close()
        self._statuses.close()
        self._cluster.close()
        self._websockets.close()

    def _dial(self, node: str | None) -> None:
        if self._port is not None:
            self._connections.hang_up(LOOPBACK, self._port)
        self._node, self._port = node, None if node is None else self._ports[node]
        if self._port is not None:
            self._connections.dial(LOOPBACK, self._port, publish=(topics.NODE,), role=Role.NODE)


def _has_port(config: NodeConfig | None) -> bool:
    return config is not None and WEBSOCKET_PORT in config.env
