"""A client that speaks ``ClusterController::API`` alone."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

import pytest
from first_generation import CONTROLLER_TOPIC, Message, Peer, configuration, instance, node
from fleet import Fleet

from support.waiting import until

API = "ClusterController::API"


def fresh() -> str:
    """An id that no configuration has had: agents do nothing for one that they run already."""
    return str(uuid.uuid4())


class Client(Peer):
    """Requests on the controller's topic, and nothing but first-generation answers."""

    def __init__(self) -> None:
        super().__init__(CONTROLLER_TOPIC)

    def ask(self, name: str, reqid: str, *args: object) -> Message:
        message = self.request(CONTROLLER_TOPIC, f"{API}::{name}", reqid, *args)
        assert message.topic == CONTROLLER_TOPIC
        return message

    def set_configuration(self, reqid: str, value: object) -> Message:
        return self.ask("set_configuration", reqid, value)


@pytest.fixture(params=["at the clients' port", "at the agents' port"])
def client(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client() as client:
        client.dial(fleet.client_port if request.param == "at the clients' port" else fleet.agent_port)
        yield client
        assert all(message.name.startswith(f"{API}::") for message in client.everything())


def test_set_configuration_stages_and_deploys_in_one(client: Client) -> None:
    nodes = [node("m", "a1", "MANAGER"), node("w", "a2", "WORKER")]
    message = client.set_configuration("r1", configuration(fresh(), [instance("a1"), instance("a2")], nodes))
    results = message.results
    # The agents' results alone: none with the configuration's id.
    assert {(result.instance, result.node) for result in results} == {("a1", "m"), ("a2", "w")}
    assert all(result.success and result.reqid == "r1" and result.error == "" for result in results)
    assert all(result.data is None for result in results)


def test_zeek_client_sees_the_same_deployment(client: Client, fleet: Fleet) -> None:
    identifier = fresh()
    client.set_configuration("r1", configuration(identifier, [instance("a1")], [node("m", "a1", "MANAGER")]))
    assert fleet.client("get-config", "--deployed", "--as-json").json["id"] == identifier
    assert fleet.client("get-config", "--staged", "--as-json").json["id"] == identifier
    assert list(fleet.pids()) == ["m"]


def test_get_instances_lists_the_configured_ones(client: Client) -> None:
    client.set_configuration("r1", configuration(fresh(), [instance("a1")], [node("m", "a1", "MANAGER")]))
    message = client.ask("get_instances", "r2")
    assert message.result.success
    assert [fields[0] for fields in message.result.data] == ["a1"]  # although a2 is connected, too
    assert all(len(fields) == 3 for fields in message.result.data)


def test_get_nodes_asks_the_configured_ones(client: Client, fleet: Fleet) -> None:
    client.set_configuration("r1", configuration(fresh(), [instance("a1")], [node("m", "a1", "MANAGER")]))
    [result] = client.ask("get_nodes", "r2").results
    assert (result.success, result.instance, result.reqid) == (True, "a1", "r2")
    statuses = {fields[0]: fields[1:] for fields in result.data}
    assert statuses.keys() == {"a1", "m"}
    shown = fleet.nodes()
    types = "ClusterController::Types"
    assert statuses["m"] == [
        f"{types}::RUNNING", f"{types}::NONE", "Supervisor::MANAGER", shown["m"]["pid"], f"{shown['m']['port']}/tcp"
    ]  # fmt: skip
    assert statuses["a1"] == [f"{types}::RUNNING", f"{types}::AGENT", "Supervisor::NONE", shown["a1"]["pid"], None]


def test_nothing_configured(client: Client) -> None:
    assert client.set_configuration("r1", configuration(fresh(), [])).results == []
    assert client.ask("get_instances", "r2").result.data == []
    [result] = client.ask("get_nodes", "r3").results
    assert (result.success, result.error, result.instance) == (False, "no instances connected", "")


def test_errors_of_validation(client: Client) -> None:
    message = client.set_configuration("r1", configuration(fresh(), [instance("a1")], [node("w", "nowhere", "WORKER")]))
    [result] = message.results
    assert (result.success, result.error) == (False, "node 'w' has undeclared instance name 'nowhere'")


def test_a_node_that_fails(client: Client) -> None:
    nodes = [node("m", "a1", "MANAGER"), node("bad", "a1", "WORKER", {"ZEEKFLEET_SIM_FAIL_AT_START": "3"})]
    message = client.set_configuration("r1", configuration(fresh(), [instance("a1")], nodes))
    results = {result.node: result for result in message.results}
    assert results["m"].success
    assert not results["bad"].success
    assert "bad" in results["bad"].data[1]


def test_without_request_id_there_is_no_answer(client: Client) -> None:
    client.set_configuration("r1", configuration(fresh(), [instance("a1")], [node("old", "a1", "MANAGER")]))
    value = configuration(fresh(), [instance("a1"), instance("a2")], [node("new", "a2", "MANAGER")])
    client.send(CONTROLLER_TOPIC, f"{API}::set_configuration_request", "", value)

    numbers = itertools.count(2)

    def configured() -> list[str]:
        return [fields[0] for fields in client.ask("get_instances", f"r{next(numbers)}").result.data]

    until(lambda: configured() == ["a1", "a2"], "the other configuration is adopted")
    client.set_configuration("last", value)
    answered = [message.args[0] for message in client.heard(f"{API}::set_configuration_response")]
    assert answered == ["r1", "last"]


def test_one_request_at_a_time(lone: Fleet) -> None:
    with Client() as client:
        client.dial(lone.client_port)
        value = configuration(fresh(), [instance("absent")])
        client.send(CONTROLLER_TOPIC, f"{API}::set_configuration_request", "first", value)
        second = client.set_configuration("second", value)
        assert [(result.success, result.error) for result in second.results] == [(False, "request first still pending")]
        first = client.wait(f"{API}::set_configuration_response", lambda message: message.args[0] == "first")
        assert [(result.success, result.error) for result in first.results] == [
            (False, "request timed out"),
            (False, "instance 'absent' is missing: never connected"),
        ]


def test_test_timeout_both_ways(lone: Fleet) -> None:
    with Client() as client:
        client.dial(lone.client_port)
        client.send(CONTROLLER_TOPIC, f"{API}::test_timeout_request", "silent", False)
        message = client.ask("test_timeout", "told", True)
        assert (message.result.success, message.result.error) == (False, "request timed out")
        assert len(client.heard(f"{API}::test_timeout_response")) == 1


def test_the_port_for_agents_serves_no_clients_unless_told_to(idle: Fleet) -> None:
    with Client() as client, Client() as usual:
        client.dial(idle.agent_port)
        usual.dial(idle.client_port)
        client.send(CONTROLLER_TOPIC, f"{API}::get_instances_request", "at the agents' port")
        assert usual.ask("get_instances", "at the clients' port").result.success
        said = idle.controller and idle.controller.log.wait_for("topic_forbidden: get_instances_request is for")
        assert said
        assert client.everything() == []
