"""The buses of the daemons, and what peers may do on each listener: the one place for it."""

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
"""Seconds between attempts to connect to a process on this host, which has no crowd to fear."""

CLIENTS = ListenerPolicy(
    publish=(topics.CONTROLLER,),
    subscribe=(topics.CONTROLLER, topics.AGENT_PREFIX, *topics.NEWS),
    answer=(),
)
"""Clients ask the controller, hear what others ask and what all are answered, and may watch the agents."""

NODES = ListenerPolicy(Role.NODE, publish=(topics.NODE,), subscribe=(topics.NODE,), relay=())
"""Nodes talk to their agent and nobody else."""

SUPERVISOR = ListenerPolicy(
    publish=(topics.SUPERVISOR,), subscribe=(topics.SUPERVISOR, topics.NODE_EXITS), answer=(), relay=()
)
"""Whoever may reach the supervisor's port may ask it anything: it is on loopback alone."""


def agents_policy(*, and_clients: bool) -> ListenerPolicy:
    """What may be said at the controller's port for agents: they speak on their topics, and hear the controller alone.

    An agent subscribes to its nodes' topic on all its links; nothing is ever published on it here.

    Args:
        and_clients: clients of the first generation come by this port, too. Where clients need certificates they do
            not, as here nobody is asked for one.
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
    """What may be said at an agent's port: the controller's on the agent's own topics, the nodes' on theirs.

    A controller subscribes to its clients' topic on all its links; nothing is ever published on it here.
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
    return WebSocketBus(name, TransportSettings(frame_bytes=common.frame_limit, backoff_first=common.connect_retry))


def supervisor_bus(name: str, common: CommonSettings, port: int, label: str = "") -> Bus:
    """The bus of this host's supervisor: one that was gone and returns is found within half a second.

    Args:
        name: what to call ourselves there.
        common: the limits.
        port: where the supervisor listens.
        label: as in :func:`~zeekfleet.transport.opening.open_bus`.
    """
    first = min(common.connect_retry, LONGEST_LOCAL_PAUSE)
    settings = TransportSettings(frame_bytes=common.frame_limit, backoff_first=first, backoff_cap=LONGEST_LOCAL_PAUSE)
    return open_bus(f"ws://{LOOPBACK}:{port}", name, settings, label=label)
