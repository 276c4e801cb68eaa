"""The table of permissions, at real listeners: each role says and hears each event on each topic."""

from __future__ import annotations

import pytest

from support.examples import EVENTS, example, generation_of
from support.raw_peer import RawPeer
from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent, controller, node
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import FIRST
from zeekfleet.broker.messages import encode_event
from zeekfleet.model.management import Result
from zeekfleet.security.permissions import Actor, Direction, Role, allowed, speaker_of
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
NAMES = ("own", "other")
TOPICS = (
    topics.CONTROLLER, *map(topics.agent, NAMES), *map(topics.secrets, NAMES), topics.NODE, topics.DEPLOYMENTS,
    topics.NOTIFICATIONS, topics.SUPERVISOR, topics.supervisor_response("create", "r"), topics.NODE_STATUS,
    topics.NODE_EXITS, "zeek/elsewhere",
)  # fmt: skip
ROLES = [pytest.param(Actor(role, "own"), id=role) for role in Role]
CASES = [(topic, event, name) for topic in TOPICS for event in EVENTS for name in NAMES]


def test_examples_name_who_speaks() -> None:
    named = {event for event in EVENTS if speaker_of(example(event, "x"))}
    assert {agent.NotifyLog, node.NodeDispatchResponse, node.NotifyNodeHello} <= named
    assert all(speaker_of(example(event, "x")) == "x" for event in named)


@pytest.mark.parametrize("actor", ROLES)
async def test_only_what_the_table_allows_is_taken(make, actor):
    expected = [
        (topic, example(event, name))
        for topic, event, name in CASES
        if allowed(actor, event, topic, Direction.SAY, speaker=speaker_of(example(event, name)))
    ]
    async with make("hub") as hub, make("peer") as peer:
        hub.subscribe("")
        port = await hub.listen(HOST, 0, policy=ListenerPolicy(actors=(actor,)))
        async with Recorder(hub) as hub_sees, Recorder(peer) as peer_sees:
            peer.dial(HOST, port)
            await peer_sees.added()
            for topic, event, name in CASES:
                peer.publish(topic, example(event, name), generation_of(event))
            peer.hang_up(HOST, port)
            await hub_sees.lost()
        assert [(seen.topic, seen.event) for seen in hub_sees.deliveries] == expected
        assert hub.metrics.forbidden == len(CASES) - len(expected)


@pytest.mark.parametrize("actor", ROLES)
async def test_only_what_the_table_allows_is_heard(make, actor):
    expected = [
        (topic, example(event, name)) for topic, event, name in CASES if allowed(actor, event, topic, Direction.HEAR)
    ]
    assert expected
    async with make("peer") as peer:
        peer.subscribe("")
        async with Recorder(peer) as peer_sees:
            async with make("hub") as hub:
                port = await hub.listen(HOST, 0, policy=ListenerPolicy(actors=(actor,)))
                peer.dial(HOST, port)
                await peer_sees.added()
                for topic, event, name in CASES:
                    hub.publish(topic, example(event, name), generation_of(event))
            await peer_sees.lost()
        assert [(seen.topic, seen.event) for seen in peer_sees.deliveries] == expected


async def test_what_a_client_may_not_ask_is_answered_and_reported():
    reported: list[tuple[str, str]] = []

    def refused(peer: Peer, event: Event, why: str) -> None:
        reported.append((event.event_name.rpartition("::")[2], why))

    policy = ListenerPolicy(actors=(Actor(Role.VIEWER),), refused=refused)
    async with WebSocketBus() as hub, Recorder(hub) as sees:
        hub.subscribe("")
        port = await hub.listen(HOST, 0, policy=policy)
        async with RawPeer(port) as peer:
            await peer.subscribe(topics.CONTROLLER)
            why = "deploy_request is for an admin, and this connection is a viewer's"
            peer.text(encode_event(topics.CONTROLLER, controller.DeployRequest("d")))
            failure = controller.DeployResponse("d", (Result("d", False, error=why),))
            assert (await peer.frame())[1] == encode_event(topics.CONTROLLER, failure)
            event = example(controller.SetConfigurationRequest, "x")
            peer.text(encode_event(topics.CONTROLLER, event, FIRST))
            assert b"zeek/cluster-control/controller" in (await peer.frame())[1]
            peer.text(encode_event(topics.agent("a1"), agent.RestartRequest("r")))
            assert (await peer.message())["code"] == "topic_forbidden"
        assert sees.deliveries == []
        assert reported == [
            ("deploy_request", why),
            ("set_configuration_request", why.replace("deploy", "set_configuration")),
            ("restart_request", "restart_request is for a controller, and this connection is a viewer's"),
        ]


async def test_what_is_forbidden_is_logged_once_a_minute(caplog):
    async with WebSocketBus() as hub:
        port = await hub.listen(HOST, 0, policy=ListenerPolicy(actors=(Actor(Role.VIEWER),)))
        for number in range(20):
            async with RawPeer(port) as peer:
                await peer.subscribe()
                peer.text(encode_event(f"zeek/\x1b[2J\n{number}", controller.DeployRequest("d")))
                assert (await peer.message())["code"] == "topic_forbidden"
        assert hub.metrics.forbidden == 20
    (line,) = (record.getMessage() for record in caplog.records if "topic_forbidden" in record.getMessage())
    assert "\\x1b[2J\\n0" in line
    assert line.isprintable()
