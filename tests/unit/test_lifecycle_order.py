from __future__ import annotations

from zeekfleet.lifecycle.order import start_groups, stop_groups
from zeekfleet.lifecycle.reconcile import reconcile
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address

ROLES = {
    "w2": ClusterRole.WORKER,
    "w1": ClusterRole.WORKER,
    "m": ClusterRole.MANAGER,
    "l": ClusterRole.LOGGER,
    "p": ClusterRole.PROXY,
}
CLUSTER = {name: ClusterEndpoint(role, Address("127.0.0.1"), NO_PORT) for name, role in ROLES.items()}
NODES = {name: NodeConfig(name=name, cluster=CLUSTER) for name in ROLES} | {"other": NodeConfig(name="other")}


def names(groups: tuple[tuple[NodeConfig, ...], ...]) -> list[list[str]]:
    return [[config.name for config in group] for group in groups]


def test_start_and_stop_order() -> None:
    order = [["l"], ["m"], ["p"], ["w1", "w2"], ["other"]]
    assert names(start_groups(NODES.values())) == order
    assert names(stop_groups(NODES.values())) == order[::-1]


def test_nothing_to_do() -> None:
    assert not reconcile(NODES, NODES)


def test_only_nodes_that_left_came_or_differ_are_touched() -> None:
    changed = NodeConfig(name="w1", cluster=CLUSTER, env={"A": "1"})
    desired = {name: config for name, config in NODES.items() if name not in ("p", "w2")} | {
        "w1": changed,
        "new": NodeConfig(name="new"),
    }
    actions = reconcile(desired, NODES)
    assert [config.name for config in actions.destroy] == ["w2", "p"]
    assert actions.replace == (changed,)
    assert [config.name for config in actions.create] == ["new"]


def test_force_replaces_all_that_stay_in_start_order() -> None:
    actions = reconcile(NODES, NODES, force=True)
    assert [config.name for config in actions.replace] == ["l", "m", "p", "w1", "w2", "other"]
    assert actions.destroy == actions.create == ()


def test_a_change_of_the_cluster_table_is_a_difference() -> None:
    cluster = CLUSTER | {"w3": CLUSTER["w1"]}
    desired = {"m": NodeConfig(name="m", cluster=cluster)}
    assert [config.name for config in reconcile(desired, {"m": NODES["m"]}).replace] == ["m"]
