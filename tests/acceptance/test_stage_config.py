"""stage-config: every error of validation, told all at once and sorted, and nothing changed by them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fleet import Answer, Fleet, ini, node
from zeekclient.controller import Controller
from zeekclient.events import StageConfigurationRequest, StageConfigurationResponse
from zeekclient.types import ClusterRole, Configuration, Instance, Node, Result

GOOD = ini(["a1"], {"good": node("a1", "manager")})


@pytest.fixture(scope="module")
def without_assignment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller that assigns no listening ports."""
    fleet = Fleet(tmp_path_factory.mktemp("f"))
    try:
        fleet.start_controller(auto_assign_ports="no", auto_assign_start_port=None)
        yield fleet
    finally:
        fleet.stop()


def stage(fleet: Fleet, configuration: str) -> Answer:
    return fleet.client("stage-config", "-", text=configuration)


def refused(fleet: Fleet, configuration: str) -> list[str]:
    """Its errors."""
    answer = stage(fleet, configuration)
    assert answer.code == 1
    assert answer.results == {}
    errors: list[str] = answer.errors
    return errors


def refused_records(fleet: Fleet, instances: list[Instance], nodes: list[Node]) -> list[str]:
    """The errors of what no INI file can say, sent by zeek-client's own library."""
    configuration = Configuration()
    configuration.instances, configuration.nodes = instances, nodes
    controller = Controller("127.0.0.1", fleet.client_port)
    assert controller.connect()
    response, problem = controller.transact(
        StageConfigurationRequest, StageConfigurationResponse, configuration.to_brokertype()
    )
    controller.wsock.close()
    assert response is not None, problem
    results = [Result.from_brokertype(result) for result in response.results]
    assert not any(result.success for result in results)
    return [result.error for result in results]


def test_a_good_one(lone: Fleet) -> None:
    answer = stage(lone, GOOD)
    assert answer.code == 0
    assert answer.errors == []
    assert list(answer.results) == ["id"]


def test_multiple_instances_of_one_name(lone: Fleet) -> None:
    instances = [Instance("a1"), Instance("a1", "127.0.0.1", 4711), Instance("a1", "127.0.0.1", 4712), Instance("a2")]
    assert refused_records(lone, instances, []) == ["multiple instances named 'a1'"]


def test_multiple_nodes_of_one_name(lone: Fleet) -> None:
    nodes = [
        Node("n", "a1", ClusterRole.MANAGER),
        Node("n", "a1", ClusterRole.LOGGER),
        Node("n", "a1", ClusterRole.WORKER),
        Node("m", "a1", ClusterRole.WORKER),
        Node("m", "a1", ClusterRole.PROXY),
    ]
    assert refused_records(lone, [Instance("a1")], nodes) == ["multiple nodes named 'm'", "multiple nodes named 'n'"]


def test_colliding_names(lone: Fleet) -> None:
    nodes = {name: node("a1", "worker") for name in ("a2", "w", "a1")}
    assert refused(lone, ini(["a1", "a2"], nodes)) == ["node and instance names collide: a1, a2"]


def test_undeclared_instance(lone: Fleet) -> None:
    nodes = {"m": node("a1", "manager"), "w": node("elsewhere", "worker")}
    assert refused(lone, ini(["a1"], nodes)) == ["node 'w' has undeclared instance name 'elsewhere'"]


def test_agents_port(lone: Fleet) -> None:
    nodes = {"m": node("b1", "manager", port=5000), "l": node("b2", "logger", port=5000)}
    assert refused(lone, ini(["b1 = 127.0.0.1:5000", "b2 = 127.0.0.1:5001"], nodes)) == [
        "node 'm' port 5000/tcp conflicts with agent port on instance 'b1'"
    ]


def test_controllers_port(lone: Fleet) -> None:
    nodes = {"m": node("a1", "manager", port=lone.agent_port)}
    assert refused(lone, ini(["a1"], nodes)) == [f"node 'm' port {lone.agent_port}/tcp conflicts with controller port"]


def test_one_port_for_several_nodes(lone: Fleet) -> None:
    nodes = {
        "m": node("a1", "manager", port=5000),
        "l": node("a1", "logger", port=5000),
        "p": node("a1", "proxy", port=5000),
        "elsewhere": node("a2", "proxy", port=5000),
    }
    assert refused(lone, ini(["a1", "a2"], nodes)) == ["multiple nodes on instance 'a1' using port 5000/tcp"]


def test_all_errors_at_once_and_sorted(lone: Fleet) -> None:
    nodes = {
        "b1": node("b1", "manager", port=5000),
        "l": node("a1", "logger", port=lone.agent_port),
        "p": node("a1", "proxy", port=lone.agent_port),
        "w": node("elsewhere", "worker"),
    }
    errors = refused(lone, ini(["a1", "b1 = 127.0.0.1:5000"], nodes))
    assert errors == sorted(
        [
            "node and instance names collide: b1",
            "node 'b1' port 5000/tcp conflicts with agent port on instance 'b1'",
            f"node 'l' port {lone.agent_port}/tcp conflicts with controller port",
            f"node 'p' port {lone.agent_port}/tcp conflicts with controller port",
            f"multiple nodes on instance 'a1' using port {lone.agent_port}/tcp",
            "node 'w' has undeclared instance name 'elsewhere'",
        ]
    )


def test_lacking_ports_without_assignment(without_assignment: Fleet) -> None:
    nodes = {
        "p": node("a1", "proxy"),
        "m": node("a1", "manager"),
        "l": node("a1", "logger", port=5001),
        "w": node("a1", "worker"),
    }
    assert refused(without_assignment, ini(["a1"], nodes)) == [
        "Broker port auto-assignment disabled but nodes m, p lack ports"
    ]


def test_workers_need_no_ports_without_assignment(without_assignment: Fleet) -> None:
    assert stage(without_assignment, ini(["a1"], {"w": node("a1", "worker")})).code == 0


def test_an_error_leaves_the_staged_one_alone(lone: Fleet) -> None:
    staged = stage(lone, GOOD).results["id"]
    assert refused(lone, ini(["a1"], {"w": node("elsewhere", "worker")}))
    assert lone.client("get-config", "--staged", "--as-json").json["id"] == staged


def test_deploy_config_shows_the_same_errors_and_does_not_deploy(lone: Fleet) -> None:
    answer = lone.client("deploy-config", "-", text=ini(["a1"], {"w": node("elsewhere", "worker")}))
    assert answer.code == 1
    assert answer.json == {"errors": ["node 'w' has undeclared instance name 'elsewhere'"], "results": {}}
    assert lone.client("get-config", "--deployed").code == 1
