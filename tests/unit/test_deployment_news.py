"""What is reported about a deployment: texts for nodes and missing instances, and the events that carry them."""

from __future__ import annotations

import time

import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events.agent import NotifyLog
from zeekfleet.broker.events.deployments import DeploymentOutcome, DeploymentProgress, NotifyNodeActions
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.messages import decode_data, decode_event, encode_event
from zeekfleet.client.news import News
from zeekfleet.client.verbs.deploy import Deployed, NodeDeployment, view
from zeekfleet.client.views import Table
from zeekfleet.controller import instances
from zeekfleet.controller.instances import Instances
from zeekfleet.model.deployments import NodeAction, action_text
from zeekfleet.transport.bus import Peer

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
def test_each_action_has_a_text(action: NodeAction, words: str) -> None:
    assert action_text(action) == words


@pytest.mark.parametrize(
    "event",
    [
        NotifyNodeActions("a1", "r", "c", (ACTION,)),
        DeploymentProgress("r", "c", "queued", 2, {"a1": "never connected"}, ("w1",), (ACTION,)),
        DeploymentOutcome("r", "c", False, ("request timed out",), {"a1": "gone since 14:03"}, (ACTION,)),
    ],
)
def test_events_arrive_as_they_were_sent(event: NotifyNodeActions | DeploymentProgress | DeploymentOutcome) -> None:
    assert decode_event(decode_data(encode_event(topics.DEPLOYMENTS, event))) == (event, SECOND)


def test_a_missing_instance_is_reported_with_the_time_it_went() -> None:
    went = time.mktime((2026, 3, 1, 14, 3, 0, 0, 0, -1))
    now = went
    known = Instances(lambda: now)
    first, second = Peer(1, "", "10.0.0.1", "10.0.0.1:4711"), Peer(2, "", "10.0.0.1", "10.0.0.1:4712")
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
        peer = Peer(number, "", "10.0.0.1", "10.0.0.1:4711")
        known.hello(name, peer, True, SECOND)
        known.lost(peer)
    assert [known.presence(name) == "never connected" for name in ("a1", "a2", "a3")] == [True, False, False]


def test_a_deployments_wait_is_reported_once_and_only_if_it_lasts() -> None:
    news = News("r")
    assert news.waiting() == ""
    missing = DeploymentProgress(
        "r", "c", "waiting for instances", 0, {"a2": "gone since 14:03", "a1": "never connected"}
    )
    text = "waiting for instances a1 (never connected), a2 (gone since 14:03)"
    assert news.heard(topics.DEPLOYMENTS, missing)
    assert news.waiting() == text
    assert [news.lasting_wait() for _ in range(3)] == ["", text, ""]
    assert not news.heard(topics.DEPLOYMENTS, DeploymentProgress("another", "c", "queued", 3))
    news.heard(topics.DEPLOYMENTS, DeploymentProgress("r", "c", "queued", 2))
    assert news.waiting() == "waiting for 2 deployments before this one"
    news.heard(topics.DEPLOYMENTS, DeploymentProgress("r", "c", "waiting for nodes", nodes=("w1",)))
    assert news.waiting() == ""
    news.heard(topics.DEPLOYMENTS, DeploymentOutcome("r", "c", True, actions=(ACTION,)))
    assert news.actions == (ACTION,)


def test_with_an_older_controller_the_agents_progress_counts() -> None:
    news = News("r")
    step = NotifyLog("a1", "starting")
    assert news.heard(topics.agent("a1"), step)
    news.heard(topics.DEPLOYMENTS, DeploymentProgress("r", "c", "queued"))
    assert not news.heard(topics.agent("a1"), step)


def test_the_result_says_for_each_node_what_was_done_about_it() -> None:
    outcome = Deployed("c", (NodeDeployment("w1", "a1", True), NodeDeployment("w2", "a1", False)), (), False)
    actions = (
        NodeAction("w1", "a1", "restart", ("interface",)),
        NodeAction("w2", "a1", "start"),
        NodeAction("w3", "a1", "stop"),
    )
    (table, *_) = view(outcome, actions)
    assert isinstance(table, Table)
    assert table.columns == ("INSTANCE", "NODE", "RESULT", "CHANGE")
    assert [tuple(cell.text for cell in row) for row in table.rows] == [
        ("a1", "w1", "running", "restarted (interface)"),
        ("a1", "w2", "failed", "started"),
        ("a1", "w3", "gone", "stopped"),
    ]
    (table, *_) = view(outcome)
    assert isinstance(table, Table)
    assert table.columns == ("INSTANCE", "NODE", "RESULT")
