"""Who may say and hear what: the table has all events, and what follows from it for each role, topic and name."""

from __future__ import annotations

import itertools

import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events import (
    agent,
    certificates,
    checks,
    controller,
    dispatches,
    node,
    secrets,
    supervision,
    supervisor,
)
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.frames import ResponseTooLarge
from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.broker.messages import UnknownEvent
from zeekfleet.model.management import Result
from zeekfleet.security.permissions import (
    CLIENTS,
    MOST_REMEMBERED,
    OPERATORS_ACTIONS,
    TABLE,
    Actor,
    Direction,
    Permissions,
    Place,
    Role,
    allowed,
    place_of,
    speaker_of,
)

EVENTS = sorted({*SECOND.names, *FIRST.names}, key=lambda event: event.event_name)
TOPICS = {
    Place.CONTROLLER: topics.CONTROLLER,
    Place.AGENT: topics.agent("own"),
    Place.SECRETS: topics.secrets("own"),
    Place.NODE: topics.NODE,
    Place.DEPLOYMENTS: topics.DEPLOYMENTS,
    Place.NOTIFICATIONS: topics.NOTIFICATIONS,
    Place.SUPERVISOR: topics.SUPERVISOR,
    Place.SUPERVISOR_RESPONSE: topics.supervisor_response("create", "42"),
    Place.STARTS: topics.NODE_STATUS,
    Place.EXITS: topics.NODE_EXITS,
}
OTHERS = (topics.agent("other"), topics.secrets("other"))
NOWHERE = ("", "zeek", "zeek/management", "zeek/management/agent", "zeek/management/agent/", "zeekfleet/secrets", "any",
           "zeek/supervisor/create_response", "zeek/supervisor/create", "zeek/cluster/node/manager")  # fmt: skip
ROLES = (None, *Role)
SAY, HEAR = Direction.SAY, Direction.HEAR


def test_every_event_has_a_row_and_every_row_an_event() -> None:
    assert {event.event_name for event in EVENTS} == {event.event_name for event in TABLE}
    assert len(TABLE) == len(EVENTS)


def test_every_topic_has_its_place() -> None:
    assert set(TOPICS) == set(Place) - {Place.ANY}
    for place, topic in TOPICS.items():
        found = place_of(topic)
        assert found is not None
        assert found[0] is place
    assert [place_of(topic) for topic in NOWHERE] == [None] * len(NOWHERE)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event_name)
def test_only_what_the_table_allows_is_allowed(event: type[Event]) -> None:
    """Every role and none, every topic, both directions, and the right and the wrong name."""
    row = TABLE[event]
    for role, (place, topic), direction in itertools.product(ROLES, TOPICS.items(), Direction):
        roles = row.say if direction is SAY else row.hear
        if row.place is Place.ANY:
            expected = role in roles and any(
                role in (one.say if direction is SAY else one.hear) for one in TABLE.values() if one.place is place
            )
        else:
            expected = row.place is place and role in roles
        for named in (False, True):
            actor = None if role is None else Actor(role, "own" if named else "")
            assert allowed(actor, event, topic, direction) is expected, (actor, topic, direction)
    for role, topic, direction in itertools.product(ROLES, OTHERS, Direction):
        actor = None if role is None else Actor(role, "own")
        own = TOPICS[Place.AGENT if topic.startswith(topics.AGENT_PREFIX) else Place.SECRETS]
        expected = allowed(actor, event, own, direction) and role not in (Role.AGENT, Role.NODE)
        assert allowed(actor, event, topic, direction) is expected, (actor, topic, direction)
    for role, topic, direction in itertools.product(ROLES, NOWHERE, Direction):
        assert not allowed(None if role is None else Actor(role), event, topic, direction)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event_name)
def test_agents_and_nodes_speak_for_themselves(event: type[Event]) -> None:
    for role, topic in itertools.product((Role.AGENT, Role.NODE), TOPICS.values()):
        actor = Actor(role, "own")
        assert allowed(actor, event, topic, SAY, speaker="own") is allowed(actor, event, topic, SAY)
        assert not allowed(actor, event, topic, SAY, speaker="other")


def test_clients_may_do_more_and_more() -> None:
    for one, next_one in itertools.pairwise(CLIENTS):
        for row in TABLE.values():
            assert (one in row.say) <= (next_one in row.say)
            assert (one in row.hear) <= (next_one in row.hear)


def test_what_clients_may_ask() -> None:
    def asks(role: Role) -> set[str]:
        return {event.event_name.split("::")[-1] for event, row in TABLE.items() if role in row.say}

    assert asks(Role.VIEWER) == {
        "get_instances_request", "get_configuration_request", "get_nodes_request", "test_timeout_request",
        "status_request", "diagnosis_request", "presence_request", "releases_request", "notifications_request",
        "deployer_request",
    }  # fmt: skip
    assert asks(Role.OPERATOR) - asks(Role.VIEWER) == {
        "get_id_value_request", "restart_request", "dispatch_request", "abort_deployment_request", "hurry",
    }  # fmt: skip
    assert asks(Role.ADMIN) - asks(Role.OPERATOR) == {
        "check_request", "stage_configuration_request", "deploy_request", "set_configuration_request",
    }  # fmt: skip


def test_an_applicant_may_ask_for_a_certificate_and_nothing_else() -> None:
    said = {event for event, row in TABLE.items() if Role.APPLICANT in row.say}
    heard = {event for event, row in TABLE.items() if Role.APPLICANT in row.hear}
    assert said == {certificates.AuthorityRequest, certificates.JoinRequest}
    assert heard == {certificates.AuthorityResponse, certificates.JoinResponse}
    assert Permissions((Actor(Role.APPLICANT),)).subscribable() == (topics.CONTROLLER,)


def test_what_changes_something_is_no_viewers() -> None:
    for row in TABLE.values():
        if row.changes:
            assert Role.VIEWER not in row.say
        if row.code:
            assert row.say == {Role.ADMIN}


def test_clients_hear_no_internal_requests_and_no_secrets() -> None:
    for event, row in TABLE.items():
        if row.hear & set(CLIENTS) and row.place is not Place.ANY:
            assert row.place in (Place.CONTROLLER, Place.DEPLOYMENTS, Place.NOTIFICATIONS) or (
                row.place is Place.AGENT and event.event_name.rpartition("::")[2].startswith("notify_")
            )
    assert TABLE[secrets.ClusterKeys].hear == {Role.AGENT}


def test_events_of_other_releases_are_said_where_one_may_speak_and_heard_by_nobody() -> None:
    for role, topic in itertools.product(Role, TOPICS.values()):
        actor = Actor(role, "own")
        speaks = role is not Role.APPLICANT and any(allowed(actor, event, topic, SAY) for event in EVENTS)
        assert allowed(actor, UnknownEvent, topic, SAY) is speaks
        assert not allowed(actor, UnknownEvent, topic, HEAR)
    assert not allowed(Actor(Role.AGENT, "own"), UnknownEvent, topics.agent("other"), SAY)


def test_an_agent_cannot_end_a_clients_request() -> None:
    assert allowed(Actor(Role.AGENT, "a"), ResponseTooLarge, topics.agent("a"), SAY)
    assert not allowed(Actor(Role.AGENT, "a"), ResponseTooLarge, topics.CONTROLLER, SAY)


def test_an_operators_actions_read_or_set_options() -> None:
    operator, admin = Permissions((Actor(Role.OPERATOR),)), Permissions((Actor(Role.ADMIN),))
    for action in [*[(name, "x") for name in OPERATORS_ACTIONS], ("run_program",), ()]:
        event = dispatches.ControllerDispatchRequest("r", action)
        assert operator.may_say(event, topics.CONTROLLER) is bool(action and action[0] in OPERATORS_ACTIONS)
        assert admin.may_say(event, topics.CONTROLLER)
    refused = dispatches.ControllerDispatchRequest("r", ("run\n",))
    told = "dispatch_request with the action 'run\\n' is for an admin"
    assert operator.refusal(refused, topics.CONTROLLER) == told


def test_an_agent_without_a_name_keeps_to_the_first_one_it_uses() -> None:
    permissions = Permissions((Actor(Role.ADMIN), Actor(Role.AGENT)))
    assert not permissions.may_say(agent.NotifyLog("a2", "forged"), topics.agent("a1"))
    assert permissions.may_say(agent.NotifyLog("a1", "x"), topics.agent("a1"))
    assert permissions.actors == (Actor(Role.ADMIN), Actor(Role.AGENT, "a1"))
    assert not permissions.may_say(agent.NotifyLog("a2", "x"), topics.agent("a2"))
    assert not permissions.may_hear(secrets.ClusterKeys, topics.secrets("a2"))
    assert permissions.may_hear(secrets.ClusterKeys, topics.secrets("a1"))
    assert permissions.may_say(controller.DeployRequest("r"), topics.CONTROLLER)


def test_a_node_without_a_name_keeps_to_the_first_one_it_uses() -> None:
    permissions = Permissions((Actor(Role.NODE),))
    assert permissions.may_say(node.NotifyNodeHello("n1"), topics.NODE)
    assert not permissions.may_say(node.NodeDispatchResponse("r", Result("r", node="n2")), topics.NODE)
    assert permissions.may_say(node.NodeDispatchResponse("r", Result("r", node="n1")), topics.NODE)


def test_a_zeek_passes_on_what_other_nodes_say() -> None:
    permissions = Permissions((Actor(Role.NODE),), relays=True)
    for name in ("n1", "n2"):
        assert permissions.may_say(node.NotifyNodeHello(name), topics.NODE)
    assert not permissions.may_say(node.NodeDispatchRequest("r", ("x",)), topics.NODE)
    assert not permissions.may_say(agent.NotifyLog("a1", "x"), topics.agent("a1"))


def test_a_controller_talks_to_the_agent_that_listens_about_that_agent() -> None:
    permissions = Permissions((Actor(Role.CONTROLLER),), instance="a1")
    assert permissions.may_say(agent.RestartRequest("r"), topics.agent("a1"))
    assert not permissions.may_say(agent.RestartRequest("r"), topics.agent("a10"))
    assert not permissions.may_say(node.NotifyNodeHello("n1"), topics.NODE)


def test_who_speaks_is_read_from_the_event() -> None:
    assert speaker_of(agent.NotifyLog("a1", "x", node="n1")) == "a1"
    assert speaker_of(node.NodeDispatchResponse("r", Result("r", node="n1"))) == "n1"
    assert speaker_of(node.NodeDispatchResponse("r", Result("r"))) == ""
    assert speaker_of(dispatches.NodePeers("n1", ())) == "n1"
    assert speaker_of(agent.RestartRequest("r")) == ""


def test_refusals_say_who_may() -> None:
    viewer = Permissions((Actor(Role.VIEWER),))
    told = viewer.refusal(controller.DeployRequest("r"), topics.CONTROLLER)
    assert told == "deploy_request is for an admin, and this connection is a viewer's"
    told = viewer.refusal(controller.RestartRequest("r"), topics.CONTROLLER)
    assert told == "restart_request is for an operator or an admin, and this connection is a viewer's"
    told = viewer.refusal(supervisor.StopRequest(), "zeek/\x1b[2J")
    assert told == "publishing stop_request on topic 'zeek/\\x1b[2J' is not allowed on this connection"
    told = Permissions((Actor(Role.AGENT, "a1"),)).refusal(agent.NotifyLog("a2", "x"), topics.agent("a1"))
    assert told == "notify_log of 'a2' is not for agent 'a1' to say"


def test_subscriptions_that_make_sense() -> None:
    def prefixes(*actors: Actor) -> set[str]:
        return set(Permissions(actors).subscribable())

    news = {topics.DEPLOYMENTS, topics.NOTIFICATIONS}
    for role in CLIENTS:
        assert prefixes(Actor(role)) == {topics.CONTROLLER, topics.AGENT_PREFIX, *news}
    own = {topics.agent("a1"), topics.secrets("a1"), topics.NODE}
    assert prefixes(Actor(Role.AGENT, "a1")) == own
    assert prefixes(Actor(Role.NODE, "n")) == {topics.NODE}
    assert prefixes(Actor(Role.AGENT)) == {topics.AGENT_PREFIX, topics.SECRETS_PREFIX, topics.NODE}
    assert prefixes(Actor(Role.CONTROLLER)) == {topics.CONTROLLER, topics.AGENT_PREFIX, topics.NODE}


def test_a_check_runs_what_the_configuration_names() -> None:
    assert TABLE[checks.ControllerCheckRequest].say == {Role.ADMIN}


def test_only_the_supervisors_clients_ask_it() -> None:
    for event in (supervisor.CreateRequest, supervisor.StopRequest, supervision.FailRequest):
        assert TABLE[event].say == {Role.SUPERVISOR_CLIENT}


def test_remembered_decisions_stay_few_and_right() -> None:
    permissions = Permissions((Actor(Role.CONTROLLER),))
    for _ in range(2):
        for number in range(1000):
            name = f"a{number}" if number % 2 else "x" * 100_000 + str(number)
            assert permissions.may_say(agent.RestartRequest("r"), topics.agent(name))
            assert not permissions.may_hear(agent.RestartRequest, topics.agent(name))
    assert len(permissions._sayers) <= MOST_REMEMBERED
    assert len(permissions._heard) <= MOST_REMEMBERED
    assert max(len(topic) for _, topic in permissions._heard) < 400
