"""The buses of the daemons, and what peers may do on each listener. All access rules are in this module."""

from __future__ import annotations

from zeekfleet.broker import topics
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.model.enums import Role
from zeekfleet.settings import CommonSettings
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import ConnectedBus, ListenerPolicy
from zeekfleet.transport.opening import open_bus
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

LONGEST_LOCAL_PAUSE = 0.5
"""Seconds, at most, between attempts to connect to the supervisor of this host, to which only two processes connect."""

CLIENTS = ListenerPolicy(
    publish=(topics.CONTROLLER,),
    subscribe=(topics.CONTROLLER, topics.AGENT_PREFIX, *topics.NEWS),
    answer=(),
    relay=(topics.AGENT_PREFIX, *topics.NEWS),
)
"""Clients send requests to the controller, and receive its responses to their own. They may watch the agents."""

NODES = ListenerPolicy(Role.NODE, publish=(topics.NODE,), subscribe=(topics.NODE,), relay=())
"""Nodes exchange events with their agent only."""

SUPERVISOR = ListenerPolicy(
    publish=(topics.SUPERVISOR,), subscribe=(topics.SUPERVISOR, topics.NODE_EXITS), answer=(), relay=()
)
"""A process that may connect to the supervisor's port may send any request. The port is on loopback only."""


def agents_policy(*, and_clients: bool) -> ListenerPolicy:
    """Rules for the controller's port for agents: they publish on their topics, and receive only from the controller.

    An agent subscribes to its nodes' topic on all its connections, so that is allowed; nothing is published on it here.

    Args:
        and_clients: allow clients as well, since those of the first generation use this port. Do not allow them if
            clients need certificates: this port asks for none.
    """
    own = (topics.AGENT_PREFIX,)
    clients = (topics.CONTROLLER,) if and_clients else ()
    watchers = topics.NEWS if and_clients else ()
    return ListenerPolicy(
        publish=own + clients,
        subscribe=(*own, *clients, *watchers, topics.NODE, topics.SECRETS_PREFIX),
        answer=own,
        relay=clients,
    )


def agent_policy(name: str) -> ListenerPolicy:
    """Rules for an agent's port: the controller publishes on the agent's topics, nodes publish on the nodes' topic.

    A controller subscribes to its clients' topic on all its connections, so that is allowed; nothing is published on it
    here.
    """
    allowed = (topics.agent(name), topics.secrets(name), topics.NODE)
    return ListenerPolicy(
        Role.CONTROLLER,
        publish=allowed,
        subscribe=(topics.AGENT_PREFIX, topics.NODE, topics.CONTROLLER),
        answer=(topics.NODE,),
        relay=(),
    )


def own_bus(name: str, common: CommonSettings) -> ConnectedBus:
    """The bus on which a daemon listens and dials, with the configured limits."""
    settings = TransportSettings(
        frame_bytes=common.frame_limit,
        unfinished_bytes=common.unfinished_limit,
        connections=common.connection_limit,
        connections_each=common.connection_limit_each,
        handshakes=common.handshake_limit,
        handshake_timeout=common.handshake_timeout,
        backoff_first=common.connect_retry,
    )
    return WebSocketBus(name, settings)


def supervisor_bus(name: str, common: CommonSettings, port: int, label: str = "") -> Bus:
    """The bus of this host's supervisor. It connects again within half a second after the supervisor returns.

    Args:
        name: our name on the bus.
        common: the limits.
        port: the supervisor's port.
        label: as in :func:`~zeekfleet.transport.opening.open_bus`.
    """
    first = min(common.connect_retry, LONGEST_LOCAL_PAUSE)
    settings = TransportSettings(frame_bytes=common.frame_limit, backoff_first=first, backoff_cap=LONGEST_LOCAL_PAUSE)
    return open_bus(f"ws://{LOOPBACK}:{port}", name, settings, label=label)
