"""The endpoints of the daemons, and what peers may do on each listener: the one place for it."""

from __future__ import annotations

from zeekfleet.broker import topics
from zeekfleet.settings import CommonSettings
from zeekfleet.transport.endpoint import TopicPolicy
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketEndpoint

LONGEST_LOCAL_PAUSE = 0.5
"""Seconds between attempts to connect to a process on this host, which has no crowd to fear."""

CLIENTS = TopicPolicy(
    publish=(topics.CONTROLLER,),
    subscribe=(topics.CONTROLLER, topics.AGENT_PREFIX, *topics.NEWS),
    answer=(),
)
"""Clients ask the controller, hear what others ask and what all are answered, and may watch the agents."""

NODES = TopicPolicy(publish=(topics.NODE,), subscribe=(topics.NODE,), relay=())
"""Nodes talk to their agent and nobody else."""

SUPERVISOR = TopicPolicy(
    publish=(topics.SUPERVISOR,), subscribe=(topics.SUPERVISOR, topics.NODE_EXITS), answer=(), relay=()
)
"""Whoever may reach the supervisor's port may ask it anything: it is on loopback alone."""


def agents_policy(*, and_clients: bool) -> TopicPolicy:
    """What may be said at the controller's port for agents: they speak on their topics, and hear the controller alone.

    An agent subscribes to its nodes' topic on all its links; nothing is ever published on it here.

    Args:
        and_clients: clients of the first generation come by this port, too. Where clients need certificates they do
            not, as here nobody is asked for one.
    """
    own = (topics.AGENT_PREFIX,)
    clients = (topics.CONTROLLER,) if and_clients else ()
    watchers = topics.NEWS if and_clients else ()
    return TopicPolicy(
        publish=own + clients,
        subscribe=(*own, *clients, *watchers, topics.NODE, topics.SECRETS_PREFIX),
        answer=own,
        relay=clients,
    )


def agent_policy(name: str) -> TopicPolicy:
    """What may be said at an agent's port: the controller's on the agent's own topics, the nodes' on theirs.

    A controller subscribes to its clients' topic on all its links; nothing is ever published on it here.
    """
    allowed = (topics.agent(name), topics.secrets(name), topics.NODE)
    return TopicPolicy(
        publish=allowed,
        subscribe=(topics.AGENT_PREFIX, topics.NODE, topics.CONTROLLER),
        answer=(topics.NODE,),
        relay=(),
    )


def endpoint(name: str, common: CommonSettings) -> WebSocketEndpoint:
    """A new endpoint with the configured limits."""
    return WebSocketEndpoint(
        name, TransportSettings(frame_bytes=common.frame_limit, backoff_first=common.connect_retry)
    )


def supervisor_link(name: str, common: CommonSettings) -> WebSocketEndpoint:
    """A new endpoint to dial this host's supervisor with: one that returns is found within half a second."""
    first = min(common.connect_retry, LONGEST_LOCAL_PAUSE)
    return WebSocketEndpoint(
        name,
        TransportSettings(frame_bytes=common.frame_limit, backoff_first=first, backoff_cap=LONGEST_LOCAL_PAUSE),
    )
