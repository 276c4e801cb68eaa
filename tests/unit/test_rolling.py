"""A rolling restart's batches, and when it stops."""

from __future__ import annotations

import msgspec
import pytest

from zeekfleet.client.results import Failure
from zeekfleet.client.verbs.get_nodes import NodesSeen
from zeekfleet.client.verbs.restart import Restarted
from zeekfleet.client.verbs.rolling_restart import batches, restart_in_batches
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import NodeStatus

NODES = {
    "manager": (ClusterRole.MANAGER, State.RUNNING),
    "logger": (ClusterRole.LOGGER, State.RUNNING),
    "w1": (ClusterRole.WORKER, State.RUNNING),
    "w2": (ClusterRole.WORKER, State.RUNNING),
    "w3": (ClusterRole.WORKER, State.RUNNING),
}


def seen(nodes: dict[str, tuple[ClusterRole, State]] = NODES) -> NodesSeen:
    statuses = (NodeStatus(name, state, cluster_role=role) for name, (role, state) in nodes.items())
    return NodesSeen({"a": tuple(statuses)})


class Cluster:
    """A cluster in which some nodes do not come back, some are not restarted, and some are not reported."""

    def __init__(
        self,
        lost: frozenset[str] = frozenset(),
        refused: frozenset[str] = frozenset(),
        silent: frozenset[str] = frozenset(),
    ) -> None:
        self.restarted: list[frozenset[str]] = []
        self._lost = lost
        self._refused = refused
        self._silent = silent

    async def restart(self, nodes: frozenset[str]) -> Restarted:
        self.restarted.append(nodes)
        told = {name: name not in self._refused for name in nodes - self._silent}
        return Restarted(told, reasons=dict.fromkeys(nodes & self._refused, "the supervisor is away"))

    async def all_running(self, nodes: frozenset[str]) -> frozenset[str]:
        return nodes & self._lost


def test_batches_follow_the_start_order_and_never_mix_roles() -> None:
    assert list(batches(NODES, (), 2)) == [{"logger"}, {"manager"}, {"w1", "w2"}, {"w3"}]
    assert list(batches(NODES, ("w3", "logger"), 5)) == [{"logger"}, {"w3"}]


async def test_everything_is_restarted_once() -> None:
    cluster = Cluster()
    outcome = await restart_in_batches(seen(), (), 1, cluster.restart, cluster.all_running)
    assert outcome.ok
    assert outcome.nodes == dict.fromkeys(NODES, True)
    assert [len(batch) for batch in cluster.restarted] == [1] * 5


async def test_it_stops_at_the_first_node_that_does_not_come_back() -> None:
    cluster = Cluster(lost=frozenset({"manager"}))
    outcome = await restart_in_batches(seen(), (), 1, cluster.restart, cluster.all_running)
    assert cluster.restarted == [{"logger"}, {"manager"}]
    assert outcome.nodes == {"logger": True, "manager": False}
    assert [failure.source for failure in outcome.errors] == ["manager"]


async def test_it_does_not_begin_while_others_are_down() -> None:
    cluster = Cluster()
    nodes = NODES | {"w3": (ClusterRole.WORKER, State.FAILED)}
    outcome = await restart_in_batches(seen(nodes), ("w1",), 1, cluster.restart, cluster.all_running)
    assert not cluster.restarted
    assert not outcome.ok
    again = await restart_in_batches(seen(nodes), ("w3",), 1, cluster.restart, cluster.all_running)
    assert again.ok, "the one that is down may be tried"


async def test_unknown_nodes_are_reported_before_anything_is_touched() -> None:
    cluster = Cluster()
    outcome = await restart_in_batches(seen(), ("w1", "nope"), 1, cluster.restart, cluster.all_running)
    assert not cluster.restarted
    assert [failure.source for failure in outcome.errors] == ["nope"]


async def test_it_stops_at_a_node_that_is_not_restarted_and_says_why() -> None:
    cluster = Cluster(refused=frozenset({"manager"}))
    outcome = await restart_in_batches(seen(), (), 1, cluster.restart, cluster.all_running)
    assert cluster.restarted == [{"logger"}, {"manager"}]
    assert not outcome.ok
    assert outcome.nodes == {"logger": True, "manager": False}
    assert outcome.reasons == {"manager": "the supervisor is away"}


async def test_a_node_without_a_report_is_not_restarted() -> None:
    cluster = Cluster(silent=frozenset({"w2"}))
    outcome = await restart_in_batches(seen(), ("w1", "w2", "w3"), 3, cluster.restart, cluster.all_running)
    assert outcome.nodes == {"w1": True, "w2": False, "w3": True}
    assert outcome.errors == (Failure("was not restarted; stopped here", "w2"),)


async def test_it_does_not_begin_if_an_instance_does_not_report_its_nodes() -> None:
    cluster = Cluster()
    error = Failure("request timed out", "b")
    outcome = await restart_in_batches(
        msgspec.structs.replace(seen(), errors=(error,)), (), 1, cluster.restart, cluster.all_running
    )
    assert (outcome.ok, outcome.errors, cluster.restarted) == (False, (error,), [])


async def test_restarting_a_cluster_without_nodes_is_an_error() -> None:
    cluster = Cluster()
    outcome = await restart_in_batches(NodesSeen({"a": ()}), (), 1, cluster.restart, cluster.all_running)
    assert not outcome.ok
    assert outcome.errors[0].error == "there are no cluster nodes to restart"


@pytest.mark.parametrize(
    ("wanted", "room", "said"),
    [
        ((), 1, {"w9": "its instance 'lost' does not tell of it"}),
        (("w1", "w9"), 3, {"w9": "its instance 'lost' does not tell of it"}),
        (("w1",), 1, {"w9": "not running, which leaves no room for a rolling restart"}),
        (("w1",), 2, {}),
    ],
)
async def test_nodes_of_an_instance_that_is_gone_are_down(
    wanted: tuple[str, ...], room: int, said: dict[str, str]
) -> None:
    cluster = Cluster()
    deployed = dict.fromkeys(NODES, "a") | {"w9": "lost"}
    outcome = await restart_in_batches(seen(), wanted, room, cluster.restart, cluster.all_running, deployed)
    assert {failure.source: failure.error for failure in outcome.errors} == said
    assert cluster.restarted == ([] if said else [{"w1"}])
