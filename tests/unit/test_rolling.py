"""A rolling restart's batches, and when it stops."""

from __future__ import annotations

from zeekfleet.client.results import Restarted
from zeekfleet.client.rolling import batches, restart
from zeekfleet.model.enums import ClusterRole, State

NODES = {
    "manager": (ClusterRole.MANAGER, State.RUNNING),
    "logger": (ClusterRole.LOGGER, State.RUNNING),
    "w1": (ClusterRole.WORKER, State.RUNNING),
    "w2": (ClusterRole.WORKER, State.RUNNING),
    "w3": (ClusterRole.WORKER, State.RUNNING),
}


class Cluster:
    def __init__(self, lost: frozenset[str] = frozenset()) -> None:
        self.restarted: list[frozenset[str]] = []
        self._lost = lost

    def restart(self, nodes: frozenset[str]) -> Restarted:
        self.restarted.append(nodes)
        return Restarted(dict.fromkeys(nodes, True))

    def all_running(self, nodes: frozenset[str]) -> frozenset[str]:
        return nodes & self._lost


def test_batches_follow_the_start_order_and_never_mix_roles() -> None:
    assert list(batches(NODES, (), 2)) == [{"logger"}, {"manager"}, {"w1", "w2"}, {"w3"}]
    assert list(batches(NODES, ("w3", "logger"), 5)) == [{"logger"}, {"w3"}]


def test_everything_is_restarted_once() -> None:
    cluster = Cluster()
    outcome = restart(NODES, (), 1, cluster.restart, cluster.all_running)
    assert outcome.ok
    assert outcome.nodes == dict.fromkeys(NODES, True)
    assert [len(batch) for batch in cluster.restarted] == [1] * 5


def test_it_stops_at_the_first_node_that_does_not_come_back() -> None:
    cluster = Cluster(lost=frozenset({"manager"}))
    outcome = restart(NODES, (), 1, cluster.restart, cluster.all_running)
    assert cluster.restarted == [{"logger"}, {"manager"}]
    assert outcome.nodes == {"logger": True, "manager": False}
    assert [failure.source for failure in outcome.errors] == ["manager"]


def test_it_does_not_begin_while_others_are_down() -> None:
    cluster = Cluster()
    nodes = NODES | {"w3": (ClusterRole.WORKER, State.FAILED)}
    outcome = restart(nodes, ("w1",), 1, cluster.restart, cluster.all_running)
    assert not cluster.restarted
    assert not outcome.ok
    assert restart(nodes, ("w3",), 1, cluster.restart, cluster.all_running).ok, "the one that is down may be tried"


def test_unknown_nodes_are_told_before_anything_is_touched() -> None:
    cluster = Cluster()
    outcome = restart(NODES, ("w1", "nope"), 1, cluster.restart, cluster.all_running)
    assert not cluster.restarted
    assert [failure.source for failure in outcome.errors] == ["nope"]
