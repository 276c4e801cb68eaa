"""The permissions: who may say (publish) and hear (receive) which event; one row for each event. Pure.

:func:`allowed` is the whole check. Connections use it through :class:`Permissions`, which also ensures that an agent or
a node speaks only for itself. Every way to transport events (WebSocket, HTTP, a message broker) uses this table.

To add an event, add its row to ``TABLE``; a test fails for an event without one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events import (
    agent,
    certificates,
    checks,
    controller,
    deployments,
    details,
    dispatches,
    frames,
    node,
    notifications,
    presence,
    refusals,
    releases,
    secrets,
    stops,
    supervision,
    supervisor,
)
from zeekfleet.broker.events.base import Event, Response
from zeekfleet.model.dispatches import MISSING_PEERS, NET_STATS, PEER_STATS, SET_OPTION
from zeekfleet.model.texts import shown


class Role(enum.StrEnum):
    """What the program at the other end of a connection is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    AGENT = "agent"
    CONTROLLER = "controller"
    NODE = "node"
    SUPERVISOR = "supervisor"
    SUPERVISOR_CLIENT = "supervisor client"
    APPLICANT = "applicant"

    __hash__ = str.__hash__  # the inherited hash is slower, since it runs Python code


CLIENTS: Final = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
"""The roles of clients, beginning with the one that may do the least. Each may do all that the one before it may."""


class Actor(msgspec.Struct, frozen=True):
    """Who says or hears something.

    Attributes:
        role: its role.
        name: the name of an agent or node; ``""`` if it is not known yet.
    """

    role: Role
    name: str = ""

    def __str__(self) -> str:
        return f"{self.role} '{self.name}'" if self.name else str(self.role)


class Direction(enum.Enum):
    """Which side of an event an actor is on."""

    SAY = enum.auto()
    HEAR = enum.auto()


class Place(enum.Enum):
    """A kind of topic; the value is how people write it."""

    CONTROLLER = topics.CONTROLLER
    AGENT = f"{topics.AGENT_PREFIX}/INSTANCE"
    SECRETS = f"{topics.SECRETS_PREFIX}/INSTANCE"
    NODE = topics.NODE
    DEPLOYMENTS = topics.DEPLOYMENTS
    NOTIFICATIONS = topics.NOTIFICATIONS
    SUPERVISOR = topics.SUPERVISOR
    SUPERVISOR_RESPONSE = f"{topics.SUPERVISOR}/NAME_response/REQID"
    STARTS = topics.NODE_STATUS
    EXITS = topics.NODE_EXITS
    ANY = "any"

    __hash__ = object.__hash__  # members are singletons; as above


class Row(msgspec.Struct, frozen=True):
    """Who may say an event, and who may hear it.

    Attributes:
        place: the topics on which it is published.
        say: who may publish it.
        hear: who may receive it.
        changes: whether it is a client's request that changes something.
        code: whether it can make nodes run programs that the client chooses.
    """

    place: Place
    say: frozenset[Role]
    hear: frozenset[Role]
    changes: bool = False
    code: bool = False


_EVERYBODY = frozenset(CLIENTS)
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
_ADMINS = frozenset({Role.ADMIN})
_CONTROLLER = frozenset({Role.CONTROLLER})
_AGENT = frozenset({Role.AGENT})
_NODE = frozenset({Role.NODE})
_SUPERVISOR = frozenset({Role.SUPERVISOR})
_SUPERVISOR_CLIENT = frozenset({Role.SUPERVISOR_CLIENT})
_APPLICANT = frozenset({Role.APPLICANT})
_NOBODY: frozenset[Role] = frozenset()

Events = Iterable[type[Event]]


def _requests(who: frozenset[Role], events: Events, *, changes: bool = False, code: bool = False) -> dict[type, Row]:
    """Clients' requests and their responses. Clients do not hear each other."""
    rows: dict[type, Row] = {}
    for event in events:
        rows[event] = Row(Place.CONTROLLER, who, _CONTROLLER, changes, code)
        if (response := getattr(event, "response", None)) is not None:
            rows[response] = Row(Place.CONTROLLER, _CONTROLLER, who)
    return rows


def _asked_of(
    place: Place, who: frozenset[Role], whom: frozenset[Role], events: Events, answers: Place | None = None
) -> dict[type, Row]:
    """Requests of one program to another, and their responses."""
    rows: dict[type, Row] = {}
    for event in events:
        rows[event] = Row(place, who, whom)
        if (response := getattr(event, "response", None)) is not None:
            rows[response] = Row(answers or place, whom, who)
    return rows


def _told(place: Place, who: frozenset[Role], whom: frozenset[Role], events: Events) -> dict[type, Row]:
    return {event: Row(place, who, whom) for event in events}


TABLE: Final[Mapping[type[Event], Row]] = {
    # Clients and the controller.
    **_requests(
        _EVERYBODY,
        (
            controller.GetInstancesRequest,
            controller.GetConfigurationRequest,
            controller.GetNodesRequest,
            controller.TestTimeoutRequest,
            details.ControllerStatusRequest,
            details.ControllerDiagnosisRequest,
            presence.PresenceRequest,
            releases.ControllerReleasesRequest,
            notifications.NotificationsRequest,
            notifications.DeployerRequest,
        ),
    ),
    **_requests(_OPERATORS, (controller.GetIdValueRequest,)),
    **_requests(
        _OPERATORS,
        (
            controller.RestartRequest,
            dispatches.ControllerDispatchRequest,
            deployments.AbortDeploymentRequest,
            stops.ControllerHurry,
        ),
        changes=True,
    ),
    # A check has agents run Zeek with the variables and scripts of the configuration.
    **_requests(
        _ADMINS,
        (
            checks.ControllerCheckRequest,
            controller.StageConfigurationRequest,
            controller.DeployRequest,
            controller.SetConfigurationRequest,
        ),
        changes=True,
        code=True,
    ),
    **_told(
        Place.DEPLOYMENTS,
        _CONTROLLER,
        _EVERYBODY,
        (deployments.DeploymentProgress, deployments.DeploymentOutcome),
    ),
    **_told(Place.NOTIFICATIONS, _CONTROLLER, _EVERYBODY, (notifications.NotificationKept,)),
    # Peers that have no certificate yet, and ask for one.
    **_requests(_APPLICANT, (certificates.AuthorityRequest, certificates.JoinRequest)),
    # An event that Zeek's controller sends to itself.
    **_told(Place.CONTROLLER, _NOBODY, _NOBODY, (controller.NotifyAgentsReady,)),
    # The controller and agents.
    **_asked_of(
        Place.AGENT,
        _CONTROLLER,
        _AGENT,
        (
            agent.AgentWelcomeRequest,
            agent.AgentStandbyRequest,
            agent.DeployRequest,
            agent.SetConfigurationRequest,
            agent.RestartRequest,
            agent.GetNodesRequest,
            agent.NodeDispatchRequest,
            checks.AgentCheckRequest,
            checks.AgentPortsRequest,
            details.AgentStatusRequest,
            details.AgentDiagnosisRequest,
            releases.AgentReleasesRequest,
            presence.AgentHelloRequest,
            refusals.AgentRefused,
            refusals.DeploymentNumber,
            stops.AgentHurry,
        ),
    ),
    **_asked_of(Place.AGENT, _AGENT, _CONTROLLER, (certificates.RenewalRequest,)),
    **_told(Place.AGENT, _CONTROLLER, _AGENT, (certificates.RevokedCertificates,)),
    **_told(Place.SECRETS, _CONTROLLER, _AGENT, (secrets.ClusterKeys,)),
    **_told(
        Place.AGENT,
        _AGENT,
        _EVERYBODY | _CONTROLLER,
        (
            agent.NotifyAgentHello,
            agent.FirstNotifyAgentHello,
            agent.NotifyChange,
            agent.NotifyLog,
            checks.NotifyCapabilities,
            deployments.NotifyNodeActions,
            dispatches.NotifyTraceDone,
            presence.NotifyAlive,
            presence.NotifySupervisor,
            stops.NotifyNodeStopping,
        ),
    ),
    # The controller reports its own errors with the same event.
    **_told(Place.AGENT, _AGENT | _CONTROLLER, _EVERYBODY | _CONTROLLER, (agent.NotifyError,)),
    # Agents and nodes.
    **_told(Place.NODE, _AGENT, _NODE, (node.NodeDispatchRequest,)),
    **_told(
        Place.NODE,
        _NODE,
        _AGENT,
        (
            node.NodeDispatchResponse,
            node.NotifyNodeHello,
            node.HelloRequest,
            dispatches.NodePeers,
            dispatches.NodeTraceDone,
        ),
    ),
    # Supervisors, and who asks them: the agent of the host, or whoever uses SupervisorControl.
    **_asked_of(
        Place.SUPERVISOR,
        _SUPERVISOR_CLIENT,
        _SUPERVISOR,
        (
            supervisor.CreateRequest,
            supervisor.StatusRequest,
            supervisor.RestartRequest,
            supervisor.DestroyRequest,
            supervisor.StopRequest,
            supervision.DetailsRequest,
            supervision.FailRequest,
            supervision.Hurry,
            releases.SupervisorReleasesRequest,
        ),
        Place.SUPERVISOR_RESPONSE,
    ),
    **_told(Place.STARTS, _SUPERVISOR, _SUPERVISOR_CLIENT, (supervisor.NodeStatus,)),
    **_told(
        Place.EXITS,
        _SUPERVISOR,
        _SUPERVISOR_CLIENT,
        (
            supervisor.NotifyNodeExit,
            supervision.NodeExitDetail,
            supervision.NodeFailed,
            supervision.NodeStopping,
        ),
    ),
    # This replaces any response.
    frames.ResponseTooLarge: Row(
        Place.ANY,
        _CONTROLLER | _AGENT | _SUPERVISOR,
        _EVERYBODY | _CONTROLLER | _AGENT | _SUPERVISOR_CLIENT,
    ),
}
"""One row for each event."""

OPERATORS_ACTIONS: Final = frozenset({"get_id_value", NET_STATS, PEER_STATS, MISSING_PEERS, SET_OPTION})
"""The actions that an operator may have nodes run. An action that is not known here needs an admin."""

_ALONE: Final = frozenset({Role.AGENT, Role.NODE})
"""The roles whose members may speak only for themselves."""

_NAMED_PLACES: Final = {Place.AGENT, Place.SECRETS}

_SUBSCRIBED_IN_VAIN: Final = {Role.AGENT: (topics.NODE,), Role.CONTROLLER: (topics.CONTROLLER, topics.NODE)}
"""Topics that these programs subscribe to on all of their connections, even where nothing is published on them."""


_ROWS: Final = tuple(TABLE.values())
_SAY_AT: Final = {place: _NOBODY.union(*(row.say for row in _ROWS if row.place is place)) for place in Place}
_HEAR_AT: Final = {place: _NOBODY.union(*(row.hear for row in _ROWS if row.place is place)) for place in Place}
"""For each place, the roles that may say, and those that may hear, anything there."""

_EXACT: Final = {place.value: place for place in Place if "/" in place.value and place.value.islower()}
_PREFIXES: Final = ((topics.AGENT_PREFIX + "/", Place.AGENT), (topics.SECRETS_PREFIX + "/", Place.SECRETS))


def place_of(topic: str) -> tuple[Place, str] | None:
    """The kind of a topic, by its second-generation name, and the instance in it, if it has one; None for others."""
    if (exact := _EXACT.get(topic)) is not None:
        return exact, ""
    for prefix, place in _PREFIXES:
        if topic.startswith(prefix) and (instance := topic.removeprefix(prefix)):
            return place, instance
    if topic.startswith(topics.SUPERVISOR + "/"):
        parts = topic.split("/", 3)
        if len(parts) == 4 and parts[2].endswith("_response"):
            return Place.SUPERVISOR_RESPONSE, ""
    return None


def allowed(actor: Actor | None, event: type[Event], topic: str, direction: Direction, *, speaker: str = "") -> bool:
    """Whether an actor may say this event on this topic, or hear it there.

    Args:
        actor: who; None for somebody without any role, who may do nothing.
        event: the event's class. One that is not in the table is of another release: it may be said wherever the actor
            may say anything, but not by an applicant, and nobody hears it.
        topic: the topic's second-generation name.
        direction: say or hear.
        speaker: the agent or node that the event itself names as its sender; ``""`` if it names none.
    """
    found = place_of(topic)
    if actor is None or found is None:
        return False
    place, instance = found
    row = TABLE.get(event)
    says = direction is Direction.SAY
    if row is None:
        roles = _SAY_AT[place] - _APPLICANT if says else _NOBODY
    elif row.place is place:
        roles = row.say if says else row.hear
    elif row.place is Place.ANY:
        roles = row.say & _SAY_AT[place] if says else row.hear & _HEAR_AT[place]
    else:
        return False
    if actor.role not in roles:
        return False
    if actor.role not in _ALONE:
        return True
    names = {instance} if place in _NAMED_PLACES else set()
    if says and speaker:
        names.add(speaker)
    return len(names) <= 1 and (not actor.name or names <= {actor.name})


def speaker_of(event: Event) -> str:
    """The agent or node that an event names as its sender; ``""`` if it names none."""
    if isinstance(event, node.NodeDispatchResponse):
        return event.result.node or ""
    if isinstance(event, node.NotifyNodeHello | dispatches.NodePeers | dispatches.NodeTraceDone):
        return event.node
    instance = getattr(event, "instance", "")
    return instance if isinstance(instance, str) else ""


LONGEST_REMEMBERED: Final = 300
"""Decisions about longer topics and names, in characters, are not remembered."""
MOST_REMEMBERED: Final = 256
"""The most decisions that are remembered for one connection."""

K = TypeVar("K")
V = TypeVar("V")


class Permissions:
    """What the peer at one connection may say and hear.

    Args:
        actors: the actors that it may be; for a client of the first generation at the port for agents, these are two.
        instance: the instance of the agent that listens; nothing may be said on the topics of other instances.
        relays: whether it forwards events of others, as a Zeek does. Then an event may name any node as its sender.
    """

    def __init__(self, actors: Iterable[Actor], *, instance: str = "", relays: bool = False) -> None:
        self._actors = tuple(actors)
        self._instance = instance
        self.relays = relays
        # A connection says and hears the same few things again and again.
        self._sayers: dict[tuple[type[Event], str, str], Actor] = {}
        self._heard: dict[tuple[type[Event], str], bool] = {}

    @property
    def actors(self) -> tuple[Actor, ...]:
        """The actors that the peer counts as. An agent or node without a name gets the first one that it uses."""
        return self._actors

    def may_say(self, event: Event, topic: str) -> bool:
        """Whether the peer may say this."""
        speaker = "" if self.relays else speaker_of(event)
        key = (type(event), topic, speaker)
        actor = self._sayers.get(key)
        if actor is None:
            if (actor := self._sayer(event, topic, speaker)) is None:
                return False
            _remember(self._sayers, key, actor, topic + speaker)
        return _is_within(actor, event)

    def may_hear(self, event: type[Event], topic: str) -> bool:
        """Whether the peer may hear this."""
        key = (event, topic)
        if (known := self._heard.get(key)) is not None:
            return known
        may = any(allowed(actor, event, topic, Direction.HEAR) for actor in self._actors)
        _remember(self._heard, key, may, topic)
        return may

    def _sayer(self, event: Event, topic: str, speaker: str) -> Actor | None:
        """The actor as which the peer may say this. If that is an agent or node without a name, it gets this one."""
        found = place_of(topic)
        if found is None or (self._instance and found[1] not in ("", self._instance)):
            return None
        for actor in self._actors:
            if allowed(actor, type(event), topic, Direction.SAY, speaker=speaker):
                if actor.role in _ALONE and not actor.name and not self.relays and (name := found[1] or speaker):
                    return self._bind(actor, name)
                return actor
        return None

    def subscribable(self) -> tuple[str, ...]:
        """The prefixes of topics to which it may subscribe. Others are refused, so that mistakes are noticed."""
        prefixes = {
            _prefix(row.place, actor)
            for actor in self._actors
            for row in _ROWS
            if actor.role in row.hear and row.place is not Place.ANY
        }
        return tuple(prefixes.union(*(_SUBSCRIBED_IN_VAIN.get(actor.role, ()) for actor in self._actors)))

    def refusal(self, event: Event, topic: str) -> str:
        """Why the peer may not say this, as a sentence for a person."""
        name = event_name(event)
        found = place_of(topic)
        row = TABLE.get(type(event))
        roles = {actor.role for actor in self._actors}
        if found is not None and row is not None and row.place is found[0] and row.say and not row.say & roles:
            return f"{name} is for {_one_of(row.say)}, and this connection is {_one_of(roles)}'s"
        if isinstance(event, dispatches.ControllerDispatchRequest) and row is not None and row.say & roles:
            return f"{name} with the action '{shown(' '.join(event.action[:1]))}' is for an admin"
        speaker, topic = shown(speaker_of(event)), shown(topic)
        if row is not None and found is not None and row.place is found[0] and row.say & roles and speaker:
            return f"{name} of '{speaker}' is not for {', '.join(map(str, self._actors))} to say"
        kind = "responses" if isinstance(event, Response) else name
        return f"publishing {kind} on topic '{topic}' is not allowed on this connection"

    def hears_refusals(self, topic: str) -> bool:
        """Whether the peer is a client: it gets a response to its request, which says why that was refused."""
        return topic == topics.CONTROLLER and any(actor.role in CLIENTS for actor in self._actors)

    def _bind(self, unnamed: Actor, name: str) -> Actor:
        named = Actor(unnamed.role, name)
        self._actors = tuple(named if actor is unnamed else actor for actor in self._actors)
        self._sayers.clear()
        self._heard.clear()
        return named


def event_name(event: Event) -> str:
    """The name of an event without its module, such as ``deploy_request``; ``this event`` if it is not in the table."""
    row = TABLE.get(type(event))
    return "this event" if row is None else event.event_name.rpartition("::")[2]


def _remember(known: dict[K, V], key: K, value: V, text: str) -> None:
    """Keep a decision, unless a text in its key is long; when there are many, all are forgotten."""
    if len(text) <= LONGEST_REMEMBERED:
        if len(known) >= MOST_REMEMBERED:
            known.clear()
        known[key] = value


def _is_within(actor: Actor, event: Event) -> bool:
    """The checks that depend on more than the event's class."""
    if actor.role is Role.OPERATOR and isinstance(event, dispatches.ControllerDispatchRequest):
        return bool(event.action) and event.action[0] in OPERATORS_ACTIONS
    return True


def _prefix(place: Place, actor: Actor) -> str:
    topic = place.value.partition("INSTANCE")[0].partition("NAME_")[0]
    if place in _NAMED_PLACES:
        return topic + actor.name if actor.role in _ALONE and actor.name else topic.removesuffix("/")
    return topic


def _one_of(roles: Iterable[Role]) -> str:
    return " or ".join(_with_article(role) for role in Role if role in roles)


def _with_article(role: Role) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
