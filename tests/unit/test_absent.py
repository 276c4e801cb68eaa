"""Views show nodes that should be there and are not: their texts and table cells."""

from __future__ import annotations

import time

import pytest

from zeekfleet.client.node_cells import next_try, state_cell, summary
from zeekfleet.client.verbs import get_instances, get_nodes, status
from zeekfleet.client.verbs.get_nodes import NodesSeen
from zeekfleet.client.verbs.status import Histories, status_of
from zeekfleet.client.views import Table
from zeekfleet.client.wanted import Wanted, merged, split
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeStatus, Result
from zeekfleet.model.presence import InstancePresence
from zeekfleet.model.supervision import NodeDetails, NodeReport

NOW = 1_800_000_000.0
REPORT = NodeReport("w1", ClusterRole.WORKER, State.RUNNING, NOW - 500, NodeDetails("w1", "running", pid=17))

NOTHING = Wanted(Configuration(), {}, frozenset(), Result(""))


def wanted(*presences: InstancePresence, connected: tuple[str, ...] = (), age: float = 0.0) -> Wanted:
    configuration = Configuration(
        "c",
        (Instance("a1"), Instance("b1")),
        (
            Node("m", "a1", ClusterRole.MANAGER, State.RUNNING),
            Node("w1", "b1", ClusterRole.WORKER, State.RUNNING),
            Node("w2", "b1", ClusterRole.WORKER, State.RUNNING),
        ),
    )
    told = {presence.name: presence for presence in presences} or None
    there = frozenset(connected) | {presence.name for presence in presences if presence.connected}
    return Wanted(configuration, told, there, Result(""), age)


def rows(view) -> list[list[str]]:
    return [[cell.text for cell in row] for part in view if isinstance(part, Table) for row in part.rows]


@pytest.mark.parametrize(
    ("presence", "told", "state", "why"),
    [
        (InstancePresence("b1"), {}, "UNREACHABLE", "unreachable, never seen"),
        (
            InstancePresence("b1", heard_at=NOW - 200, gone_since=NOW - 125),
            {},
            "UNREACHABLE",
            "unreachable, last seen 2 min 5 s ago",
        ),
        (InstancePresence("b1", heard_at=NOW - 3), {}, "UNREACHABLE", "unreachable, last seen 3 s ago"),
        (InstancePresence("b1", connected=True, heard_at=NOW - 12), {}, "UNKNOWN", "no answer, last heard 12 s ago"),
        (InstancePresence("b1", connected=True, heard_at=NOW), {"b1": ["w2"]}, "MISSING", "missing"),
    ],
)
def test_why_a_node_is_absent(presence, told, state, why):
    absent = wanted(presence, InstancePresence("a1", connected=True)).absent({"a1": ["m"], **told}, NOW)
    assert absent.keys() == {"b1"}
    assert (absent["b1"][0].node, absent["b1"][0].state, absent["b1"][0].why) == ("w1", state, why)


def test_a_supervisor_that_is_away_is_named_with_the_time():
    since = NOW - 60
    one = wanted(InstancePresence("b1", connected=True, supervisor_away_since=since))
    at = time.strftime("%H:%M", time.localtime(since))
    day = "" if time.localtime(since)[:3] == time.localtime(NOW)[:3] else time.strftime("%F ", time.localtime(since))
    words = f"its supervisor is away since {day}{at}"
    assert one.absent({"a1": ["m"]}, NOW)["b1"][0].why == f"unknown, {words}"
    assert one.standing("b1", NOW)[1] == f"connected, {words}"
    unknown = NodeReport("w1", ClusterRole.WORKER, State.UNKNOWN, NOW)
    assert state_cell(State.UNKNOWN, unknown, NOW, one.away("b1", NOW)).text == f"unknown, {words}"


def test_clocks_that_differ_make_nothing_older():
    one = wanted(InstancePresence("b1", gone_since=NOW - 10 - 3600), age=3600.0)
    assert one.absent({"a1": ["m"]}, NOW)["b1"][0].why == "unreachable, last seen 10 s ago"


def test_zeeks_own_controller_reports_less():
    one = wanted(connected=("a1",))
    assert [nodes[0].why for nodes in one.absent({"a1": []}, NOW).values()] == ["missing", "unreachable"]
    assert [one.standing(name, NOW)[1] for name in ("a1", "b1")] == ["connected", "unreachable"]


def test_get_nodes_shows_present_and_absent_nodes():
    one = wanted(InstancePresence("b1", gone_since=NOW - 5, reported_at=NOW - 9, reports=(REPORT,)))
    seen = NodesSeen({"a1": (NodeStatus("m", State.RUNNING, Role.NONE, ClusterRole.MANAGER, 7),)})
    view = get_nodes.view(seen, one.absent({"a1": ["m"]}, NOW), one.reports, NOW)
    assert rows(view) == [
        ["a1", "m", "manager", "running", "7", "-", "-"],
        ["b1", "w1", "worker", "unreachable, last seen 5 s ago (running)", "-", "-", "-"],
        ["b1", "w2", "worker", "unreachable, last seen 5 s ago", "-", "-", "-"],
    ]


def test_status_shows_and_counts_absent_nodes():
    one = wanted(InstancePresence("b1", gone_since=NOW - 5))
    outcome = Histories({"a1": (NodeReport("m", ClusterRole.MANAGER, State.RUNNING, NOW - 3),)})
    view = status.view(status_of(outcome, one, NOW))
    assert [row[1:5] for row in rows(view)] == [
        ["m", "manager", "running", "3 s"],
        ["w1", "worker", "unreachable, last seen 5 s ago", "-"],
        ["w2", "worker", "unreachable, last seen 5 s ago", "-"],
    ]
    assert view[-1].text == "2 of 3 nodes do not run"


def test_get_instances_shows_absent_instances():
    spare = InstancePresence("spare", connected=True)
    one = wanted(InstancePresence("a1", connected=True), InstancePresence("b1", gone_since=NOW - 5), spare)
    assert rows(get_instances.view((Instance("a1"), Instance("spare")), one, NOW)) == [
        ["a1", "-", "-", "connected"],
        ["b1", "-", "-", "unreachable, last seen 5 s ago"],
        ["spare", "-", "-", "connected"],
    ]


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (NodeDetails("w1", "failed", pid=17, next_start=NOW + 42), "failed, next try in 42 s"),
        (NodeDetails("w1", "failed", pid=17), "failed, next try never"),
        (NodeDetails("w1", "running", pid=17), "failed"),  # it runs and does not respond
        (None, "failed"),
    ],
)
def test_a_failed_node_shows_when_it_is_tried_next(details, words):
    report = NodeReport("w1", ClusterRole.WORKER, State.FAILED, NOW - 1, details)
    assert state_cell(State.FAILED, report, NOW).text == words


def test_a_failed_node_shows_no_process_that_has_ended():
    failed = NodeReport(
        "w1", ClusterRole.WORKER, State.FAILED, NOW, NodeDetails("w1", "failed", 17, next_start=NOW + 9)
    )
    deaf = NodeReport("w2", ClusterRole.WORKER, State.FAILED, NOW, NodeDetails("w2", "running", 18))
    seen = NodesSeen(
        {
            "b1": tuple(
                NodeStatus(n, State.FAILED, Role.NONE, ClusterRole.WORKER, p) for n, p in (("w1", 17), ("w2", 18))
            )
        }
    )
    shown = rows(get_nodes.view(seen, {}, {"w1": failed, "w2": deaf}, NOW))
    assert [row[3:5] for row in shown] == [["failed, next try in 9 s", "-"], ["failed", "18"]]
    (one, two) = rows(status.view(status_of(Histories({"b1": (failed, deaf)}), NOTHING, NOW)))
    assert (one[5], two[5]) == ("-", "18")


def test_a_node_that_runs_is_not_tried_again():
    assert next_try(REPORT, NOW) == ""


def test_no_summary_if_all_nodes_run():
    assert summary({"a", "b"}, {"a", "b"}) == []
    assert summary({"a"}, set())[0].text == "1 of 1 node does not run"


def test_split_reverses_merged():
    one = wanted(InstancePresence("b1"))
    absent = one.absent({"a1": ["m"]}, NOW)
    both = merged({"a1": (REPORT,)}, absent)
    there, not_there = split(both, NodeReport)
    assert there == {"a1": (REPORT,), "b1": ()}
    assert not_there["b1"] == absent["b1"]
