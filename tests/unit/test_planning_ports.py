"""Port assignment: order, gaps, addresses, exhaustion."""

from __future__ import annotations

import pytest

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.types import Address, Port
from zeekfleet.planning.ports import assign_metrics_ports, assign_ports

ROLES = {
    "m": ClusterRole.MANAGER,
    "l": ClusterRole.LOGGER,
    "p": ClusterRole.PROXY,
    "w": ClusterRole.WORKER,
    "n": ClusterRole.NONE,
}


def node(name: str, instance: str = "a1", port: int | None = None, metrics_port: int | None = None) -> Node:
    return Node(
        name=name,
        instance=instance,
        role=ROLES[name[0]],
        state=State.RUNNING,
        p=None if port is None else Port(port),
        metrics_port=None if metrics_port is None else Port(metrics_port),
    )


def ports(configuration: Configuration) -> dict[str, int | None]:
    return {node.name: node.p.number if node.p else None for node in configuration.nodes}


def metrics_ports(configuration: Configuration) -> dict[str, int | None]:
    return {node.name: node.metrics_port.number if node.metrics_port else None for node in configuration.nodes}


def test_order_is_instance_then_role_then_name_over_the_whole_cluster() -> None:
    nodes = (node("p2", "a2"), node("w1"), node("l2"), node("p1"), node("m1"), node("l1"), node("l3", "a2"))
    configuration = Configuration(instances=(Instance("a1"), Instance("a2")), nodes=nodes)
    assert ports(assign_ports(configuration)) == {
        "m1": 2200,
        "l1": 2201,
        "l2": 2202,
        "p1": 2203,
        "l3": 2204,
        "p2": 2205,
        "w1": None,
    }


def test_reserved_ports_are_never_assigned_at_any_address() -> None:
    instances = (Instance("a1", Address("10.0.0.1")), Instance("a2", Address("10.0.0.2")))
    configuration = Configuration(instances=instances, nodes=(node("m1"), node("l1"), node("w1", "a2")))
    assert ports(assign_ports(configuration, start=2149, reserved=(2149, 2150))) == {"m1": 2151, "l1": 2152, "w1": None}
    assert metrics_ports(assign_metrics_ports(configuration, start=9998, reserved=(0, 9999))) == {
        "m1": 9998,
        "l1": 10000,
        "w1": 9998,
    }


def test_taken_ports_of_nodes_and_agents_are_skipped_and_kept() -> None:
    instances = (Instance("a1", Address("10.0.0.1"), Port(2201)), Instance("a2"))
    configuration = Configuration(
        instances=instances, nodes=(node("m1"), node("l1"), node("p1"), node("w1", "a2", 2203), node("l2", port=2200))
    )
    assert ports(assign_ports(configuration)) == {"m1": 2202, "l1": 2204, "p1": 2205, "w1": 2203, "l2": 2200}


def test_the_rest_of_the_configuration_stays_as_it_was() -> None:
    configuration = Configuration(id="x", instances=(Instance("a1"),), nodes=(node("m1"), node("w1")))
    assigned = assign_metrics_ports(assign_ports(configuration))
    assert (assigned.id, assigned.instances) == ("x", configuration.instances)
    assert [entry.name for entry in assigned.nodes] == ["m1", "w1"]
    assert ports(configuration) == {"m1": None, "w1": None}


def test_nothing_to_do_changes_nothing() -> None:
    configuration = Configuration(instances=(Instance("a1"),), nodes=(node("m1", port=5, metrics_port=6), node("n1")))
    assert assign_ports(configuration) == configuration
    assert assign_metrics_ports(configuration) == configuration


def test_start_can_be_changed_and_ports_run_out_with_a_sentence() -> None:
    configuration = Configuration(instances=(Instance("a1"),), nodes=(node("m1"), node("l1")))
    assert ports(assign_ports(configuration, start=65534)) == {"m1": 65534, "l1": 65535}
    with pytest.raises(ConfigurationError, match=r"^no listening port left for node 'l1' between 65535 and 65535$"):
        assign_ports(configuration, start=65535)
    with pytest.raises(ConfigurationError, match=r"^no metrics port left for node 'l1' between 65535 and 65535$"):
        assign_metrics_ports(configuration, start=65535)


def test_metrics_ports_count_anew_for_each_address_workers_last() -> None:
    instances = (
        Instance("a1", Address("10.0.0.1"), Port(9001)),
        Instance("a2", Address("10.0.0.2")),
        Instance("a3", Address("10.0.0.2"), Port(9002)),
    )
    nodes = (
        node("w1"),
        node("m1"),
        node("p1", port=9002),
        node("w2", "a2", metrics_port=9001),
        node("l2", "a2"),
        node("w3", "a3"),
    )
    configuration = Configuration(instances=instances, nodes=nodes)
    assert metrics_ports(assign_metrics_ports(configuration)) == {
        "m1": 9000,
        "p1": 9003,
        "w1": 9004,
        "w2": 9001,
        "l2": 9000,
        "w3": 9003,
    }


def test_instances_of_unknown_address_share_one_count() -> None:
    configuration = Configuration(instances=(Instance("a1"), Instance("a2")), nodes=(node("w1"), node("w2", "a2")))
    assert metrics_ports(assign_metrics_ports(configuration)) == {"w1": 9000, "w2": 9001}


def test_metrics_ports_need_declared_instances() -> None:
    with pytest.raises(ConfigurationError) as caught:
        assign_metrics_ports(Configuration(nodes=(node("w1"),)))
    assert caught.value.errors == ("node 'w1' has undeclared instance name 'a1'",)


def test_ports_of_other_programs_are_skipped() -> None:
    instances = (Instance("a1", Address("10.0.0.1")), Instance("a2", Address("10.0.0.2")))
    nodes = (node("m1"), node("l1"), node("w1", "a2"))
    configuration = Configuration(instances=instances, nodes=nodes)
    taken = {"a1": {2200, 9001}, "a2": {2201, 9000}}
    # Listening ports are counted over the whole cluster, metrics ports for each address.
    assert ports(assign_ports(configuration, taken=taken)) == {"m1": 2202, "l1": 2203, "w1": None}
    assert metrics_ports(assign_metrics_ports(configuration, taken=taken)) == {"m1": 9000, "l1": 9002, "w1": 9001}


def test_nodes_that_stay_keep_their_ports_unless_something_else_needs_them() -> None:
    instances = (Instance("a1", Address("10.0.0.1")),)
    former = Configuration(
        instances=instances,
        nodes=(node("m1", port=2207, metrics_port=9007), node("l1", port=2208), node("p1", port=2209)),
    )
    nodes = (node("m1"), node("l1"), node("p1"), node("p2", port=2209), node("l0"))
    configuration = Configuration(instances=instances, nodes=nodes)
    taken = {"a1": (2208,)}
    assert ports(assign_ports(configuration, former=former, taken=taken)) == {
        "m1": 2207,
        "l1": 2201,  # another program uses its former port
        "p1": 2202,  # another node is configured to use it
        "p2": 2209,
        "l0": 2200,
    }
    assert metrics_ports(assign_metrics_ports(configuration, former=former))["m1"] == 9007
    elsewhere = Configuration(instances=(Instance("a2"),), nodes=(node("m1", "a2"),))
    assert ports(assign_ports(elsewhere, former=former)) == {"m1": 2200}


def test_an_instance_whose_address_is_unknown_may_be_on_any_host() -> None:
    instances = (Instance("a1", Address("127.0.0.1")), Instance("a2"), Instance("a3"))
    nodes = (node("w1"), node("w2", "a2"), node("w3", "a3"))
    found = metrics_ports(assign_metrics_ports(Configuration(instances=instances, nodes=nodes)))
    assert found == {"w1": 9000, "w2": 9001, "w3": 9002}
