"""The reasons for restarting a node: only changes of what the node really needs."""

from __future__ import annotations

import msgspec
import pytest

from zeekfleet.lifecycle.cluster_view import view
from zeekfleet.lifecycle.reconcile import changes, node_actions, reconcile, summary
from zeekfleet.model.deployments import action_text
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port

HERE = Address("127.0.0.1")
CLUSTER = {
    "logger": ClusterEndpoint(ClusterRole.LOGGER, HERE, Port(2201), metrics_port=Port(9001)),
    "manager": ClusterEndpoint(ClusterRole.MANAGER, HERE, Port(2200), metrics_port=Port(9000)),
    "proxy": ClusterEndpoint(ClusterRole.PROXY, HERE, Port(2202), metrics_port=Port(9002)),
    "w1": ClusterEndpoint(ClusterRole.WORKER, HERE, NO_PORT, "eth0", metrics_port=Port(9003)),
    "w2": ClusterEndpoint(ClusterRole.WORKER, HERE, NO_PORT, "eth1", metrics_port=Port(9004)),
}
ALL = frozenset(CLUSTER)


def configs(cluster: dict[str, ClusterEndpoint]) -> dict[str, NodeConfig]:
    """The launch configurations that an agent makes."""
    return {
        name: NodeConfig(name, interface=row.interface, pcap_file=row.pcap_file, cluster=view(name, cluster))
        for name, row in cluster.items()
    }


def changed(name: str, **fields: object) -> dict[str, ClusterEndpoint]:
    """The cluster with one row changed."""
    return CLUSTER | {name: msgspec.structs.replace(CLUSTER[name], **fields)}


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (changed("w1", interface="eth7"), {"w1": ("interface",)}),
        (changed("w1", metrics_port=Port(9100)), {"w1": ("metrics_port",), "manager": ("metrics_port of w1",)}),
        (changed("manager", metrics_port=Port(9100)), {"manager": ("metrics_port",)}),
        (
            changed("w1", interface="eth7", metrics_port=None),
            {"w1": ("interface", "metrics_port"), "manager": ("metrics_port of w1",)},
        ),
        (
            changed("proxy", p=Port(2300)),
            {"proxy": ("port",), "w1": ("port of proxy",), "w2": ("port of proxy",)},
        ),
        (
            changed("logger", p=Port(2300)),
            {"logger": ("port",)} | dict.fromkeys(ALL - {"logger"}, ("port of logger",)),
        ),
        (changed("w1", p=Port(2300)), {"w1": ("port",)}),
        (CLUSTER | {"w3": CLUSTER["w1"]}, dict.fromkeys(ALL, ("cluster",))),
        (
            {name: row for name, row in CLUSTER.items() if name != "w2"},
            dict.fromkeys(ALL - {"w2"}, ("cluster",)),
        ),
        (
            {"w9" if name == "w2" else name: row for name, row in CLUSTER.items()},
            dict.fromkeys(ALL - {"w2"}, ("cluster",)),
        ),
        (changed("w1", role=ClusterRole.PROXY), {"w1": ("role",)} | dict.fromkeys(ALL - {"w1"}, ("cluster",))),
        (
            changed("w1", host=Address("192.0.2.1")),
            {"w1": ("host",)} | dict.fromkeys(ALL - {"w1"}, ("cluster",)),
        ),
        (
            changed("w1", interface=None, pcap_file="/a"),
            {"w1": ("interface", "pcap_file")} | dict.fromkeys(ALL - {"w1"}, ("cluster",)),
        ),
        (CLUSTER, {}),
    ],
)
def test_a_change_restarts_the_nodes_that_it_concerns_and_says_why(
    cluster: dict[str, ClusterEndpoint], expected: dict[str, tuple[str, ...]]
) -> None:
    actions = reconcile(configs(cluster), configs(CLUSTER))
    assert actions.reasons == expected
    assert {config.name for config in actions.replace} == expected.keys()
    assert {config.name for config in actions.keep} == (cluster.keys() & ALL) - expected.keys()


def test_another_trace_restarts_only_its_reader() -> None:
    first, second = (changed("w1", interface=None, pcap_file=path) for path in ("/a", "/b"))
    assert reconcile(configs(second), configs(first)).reasons == {"w1": ("pcap_file",)}


def test_nodes_that_know_more_than_they_need_are_left_alone() -> None:
    """The launch configurations of an older release, with every field of every row."""
    whole = {name: msgspec.structs.replace(config, cluster=CLUSTER) for name, config in configs(CLUSTER).items()}
    assert not reconcile(configs(CLUSTER), whole)
    assert not reconcile(whole, configs(CLUSTER))
    wanted = configs(changed("w1", interface="eth7"))
    assert reconcile(wanted, whole).reasons == {"w1": ("interface",)}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"env": {"A": "2"}}, ("env",)),
        ({"env": {"A": "1", "ZEEKFLEET_NICE": "5"}}, ("nice",)),
        ({"addl_user_scripts": ("b", "Notice::mail_dest=x")}, ("scripts",)),
        ({"addl_user_scripts": ("a", "Notice::mail_dest=y")}, ("options",)),
        ({"cpu_affinity": 3, "interface": "lo"}, ("cpu_affinity", "interface")),
    ],
)
def test_changes_of_a_nodes_own_settings_are_named_by_their_keys(fields: dict[str, object], why: tuple[str]) -> None:
    before = NodeConfig("w", env={"A": "1"}, addl_user_scripts=("a", "Notice::mail_dest=x"))
    assert changes(msgspec.structs.replace(before, **fields), before) == why


def test_many_changed_nodes_are_counted_instead_of_named() -> None:
    many = {f"w{number}": CLUSTER["w1"] for number in range(9)} | {"manager": CLUSTER["manager"]}
    moved = {
        name: msgspec.structs.replace(row, metrics_port=Port(9200 + place))
        for place, (name, row) in enumerate(many.items())
    }
    assert reconcile(configs(moved), configs(many)).reasons["manager"] == ("metrics_port", "metrics_port of 9 others")


def test_a_forced_restart_says_so() -> None:
    actions = reconcile(configs(CLUSTER), configs(CLUSTER), force=True)
    assert actions.reasons == dict.fromkeys(CLUSTER, ("forced",))
    assert not actions.keep


def test_the_summary_is_one_line() -> None:
    wanted = configs(changed("w1", interface="eth7", metrics_port=Port(9100)))
    present = configs(CLUSTER)
    line = "stopping none; restarting manager (metrics_port of w1), w1 (interface, metrics_port); starting none; "
    assert summary(reconcile(wanted, present)) == line + "leaving logger, proxy, w2 alone"
    several = summary(reconcile(present, {name: present[name] for name in ("w1", "w2")}, force=True))
    assert (
        several == "stopping none; restarting w1 and w2 (forced); starting logger, manager, proxy; leaving none alone"
    )


def test_each_node_has_an_action() -> None:
    present = configs({name: row for name, row in changed("w1", interface="eth7").items() if name != "w2"})
    wanted = configs({name: row for name, row in CLUSTER.items() if name != "proxy"})
    actions = node_actions(reconcile(wanted, present), "here")
    assert {action.node: action_text(action) for action in actions} == {
        "logger": "restarted (cluster)",
        "manager": "restarted (cluster)",
        "proxy": "stopped",
        "w1": "restarted (cluster, interface)",
        "w2": "started",
    }
    assert {action.instance for action in actions} == {"here"}
    kept = node_actions(reconcile(present, present), "here")
    assert {action_text(action) for action in kept} == {"unchanged"}


def test_failed_nodes_are_restarted() -> None:
    nodes = {name: NodeConfig(name) for name in ("a", "b", "c")}
    actions = reconcile(nodes, nodes, failed={"b", "gone"})
    assert [config.name for config in actions.replace] == ["b"]
    assert [config.name for config in actions.keep] == ["a", "c"]
    assert actions.reasons == {"b": ("failed",)}
    changed = {**nodes, "b": NodeConfig("b", interface="eth1")}
    assert reconcile(changed, nodes, failed={"b"}).reasons == {"b": ("interface",)}
