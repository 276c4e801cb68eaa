"""What deployments tell of themselves: words for nodes, for missing instances, and how they travel."""

from __future__ import annotations

import time

import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events.deployments import DeploymentOutcome, DeploymentProgress, NotifyNodeActions
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.messages import decode_data, decode_event, encode_event
from zeekfleet.controller import instances
from zeekfleet.controller.instances import Instances
from zeekfleet.model.deployments import NodeAction, action_text
from zeekfleet.transport.endpoint import Peer

ACTION = NodeAction("w1", "a1", "restart", ("interface", "env"))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (NodeAction("w1", "a1", "keep"), "unchanged"),
        (NodeAction("w1", "a1", "start"), "started"),
        (NodeAction("w1", "a1", "stop"), "stopped"),
        (NodeAction("w1", "a1", "restart"), "restarted"),
        (ACTION, "restarted (interface, env)"),
        (NodeAction("w1", "a1", "drain"), "drain"),
    ],
)
def test_what_becomes_of_a_node_has_words(action: NodeAction, words: str) -> None:
    assert action_text(action) == words


@pytest.mark.parametrize(
    "event",
    [
        NotifyNodeActions("a1", "r", "c", (ACTION,)),
        DeploymentProgress("r", "c", "queued", 2, {"a1": "never connected"}, ("w1",), (ACTION,)),
        DeploymentOutcome("r", "c", False, ("request timed out",), {"a1": "gone since 14:03"}, (ACTION,)),
    ],
)
def test_news_arrive_as_they_were_sent(event: NotifyNodeActions | DeploymentProgress | DeploymentOutcome) -> None:
    assert decode_event(decode_data(encode_event(topics.DEPLOYMENTS, event))) == (event, SECOND)


def test_a_missing_instance_is_told_with_the_time_it_went() -> None:
    went = time.mktime((2026, 3, 1, 14, 3, 0, 0, 0, -1))
    now = went
    known = Instances(lambda: now)
    first, second = Peer(1, "", "10.0.0.1", 4711, False), Peer(2, "", "10.0.0.1", 4712, False)
    assert known.presence("a1") == "never connected"
    known.hello("a1", first, True, SECOND)
    assert known.presence("a1") == "connected"
    assert known.lost(first) == ["a1"]
    assert known.presence("a1") == "gone since 14:03"
    now = went + 86400
    assert known.presence("a1") == "gone since 2026-03-01 14:03"
    known.hello("a1", second, True, SECOND)
    assert known.presence("a1") == "connected"


def test_instances_that_are_gone_are_remembered_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "REMEMBERED", 2)
    known = Instances(lambda: 0.0)
    for number, name in enumerate(("a1", "a2", "a3")):
        peer = Peer(number, "", "10.0.0.1", 4711, False)
        known.hello(name, peer, True, SECOND)
        known.lost(peer)
    assert [known.presence(name) == "never connected" for name in ("a1", "a2", "a3")] == [True, False, False]
