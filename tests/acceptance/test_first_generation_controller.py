"""A controller that speaks ``ClusterAgent::API`` alone, which our agent dials or which dials our agent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from first_generation import Message, Peer, agent_topic, configuration, instance, node
from fleet import Fleet

from support.daemons import alive
from support.ports import free_ports

API = "ClusterAgent::API"
TYPES = "ClusterController::Types"


@dataclass
class Controller:
    """The peer, and the agent ``old`` behind it."""

    peer: Peer
    fleet: Fleet
    ids: Iterator[int]

    def ask(self, name: str, *args: object) -> Message:
        message = self.peer.request(agent_topic("old"), f"{API}::{name}", f"r{next(self.ids)}", *args)
        assert message.topic == agent_topic("old")
        assert message.result.reqid == message.args[0]
        assert message.result.instance == "old"
        return message

    def set_configuration(self, *nodes: object) -> Message:
        value = configuration(f"c{next(self.ids)}", [instance("old")], nodes)
        return self.ask("set_configuration", value)

    def nodes(self) -> dict[str, list[object]]:
        data = self.ask("get_nodes").result.data
        assert all(len(fields) == 6 for fields in data)
        return {fields[0]: fields[1:] for fields in data}

    def changed(self, name: str, state: str) -> Message:
        return self.peer.wait(
            f"{API}::notify_change",
            lambda message: message.args[1][0] == name and message.args[3] == f"{TYPES}::{state}",
        )


@pytest.fixture(scope="module", params=["the agent dials", "the agent is dialled"])
def controller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    fleet = Fleet(tmp_path_factory.mktemp("f"))
    with Peer(agent_topic("old")) as peer:
        try:
            if request.param == "the agent dials":
                fleet.start_agent("old", controller=f"127.0.0.1:{peer.listen()}")
                peer.wait(f"{API}::notify_agent_hello")  # what is sent before it has come reaches nobody
            else:
                [port] = free_ports()
                fleet.start_agent("old", controller="none", port=port)
                peer.dial(port)
            yield Controller(peer, fleet, itertools.count(1))
        finally:
            fleet.stop()
    if request.param == "the agent is dialled":
        # Its subscription was to the first generation's topic alone.
        assert all(message.name.startswith(f"{API}::") for message in peer.everything())
        assert {message.topic for message in peer.everything()} == {agent_topic("old")}


def test_it_says_hello(controller: Controller) -> None:
    message = controller.peer.wait(f"{API}::notify_agent_hello")
    assert message.topic == agent_topic("old")
    assert message.args == ["old", "127.0.0.1", 1]


def test_welcome(controller: Controller) -> None:
    result = controller.ask("agent_welcome").result
    assert (result.success, result.error, result.data, result.node) == (True, "", None, None)


def test_set_configuration_starts_nodes_and_tells_of_every_step(controller: Controller) -> None:
    result = controller.set_configuration(node("m", "old", "MANAGER", p=4711), node("w", "old", "WORKER")).result
    assert (result.success, result.error) == (True, "")
    running = controller.changed("m", "RUNNING")
    where, changed, before, _ = running.args
    assert (where, before) == ("old", f"{TYPES}::PENDING")
    assert len(changed) == 10
    assert changed[:5] == ["m", "old", "Supervisor::MANAGER", f"{TYPES}::RUNNING", "4711/tcp"]
    controller.changed("w", "RUNNING")
    log = controller.peer.wait(f"{API}::notify_log", lambda message: "m, w" in message.args[1])
    assert log.args[0] == "old"
    assert len(log.args) == 3
    nodes = controller.nodes()
    assert nodes.keys() == {"m", "w", "old"}
    pid = nodes["m"].pop(3)
    assert alive(pid)
    assert nodes["m"] == [f"{TYPES}::RUNNING", f"{TYPES}::NONE", "Supervisor::MANAGER", "4711/tcp"]
    assert nodes["old"][:3] == [f"{TYPES}::RUNNING", f"{TYPES}::AGENT", "Supervisor::NONE"]


def test_the_answer_comes_when_nodes_are_handed_over_and_a_pid_means_running(controller: Controller) -> None:
    # This one never says hello: whoever waited for that would wait in vain.
    assert controller.set_configuration(node("mute", "old", "WORKER", {"ZEEKFLEET_SIM_SILENT": "1"})).result.success
    assert controller.nodes()["mute"][0] == f"{TYPES}::RUNNING"


def test_standby_stops_all_nodes(controller: Controller) -> None:
    controller.set_configuration(node("s", "old", "MANAGER"))
    pid = controller.nodes()["s"][3]
    result = controller.ask("agent_standby").result
    assert (result.success, result.error) == (True, "")
    assert not alive(pid)
    assert list(controller.nodes()) == ["old"]
    controller.changed("s", "STOPPED")


def test_a_node_that_cannot_be_created(controller: Controller) -> None:
    assert controller.set_configuration(node("two words", "old", "WORKER"), node("fine", "old", "MANAGER")).result
    message = controller.peer.wait(f"{API}::notify_error")
    where, text, name = message.args
    assert (where, name) == ("old", "two words")
    assert text.startswith("failed to create node two words: ")
    assert "fine" in controller.nodes()


def test_a_node_that_crashes_is_told(controller: Controller) -> None:
    controller.set_configuration(node("short", "old", "WORKER", {"ZEEKFLEET_SIM_CRASH_AFTER": "0.2"}))
    message = controller.changed("short", "CRASHED")
    assert len(message.args[1]) == 10


def test_without_request_id_there_is_no_answer(controller: Controller) -> None:
    value = configuration("unanswered", [instance("old")], [node("u", "old", "MANAGER")])
    controller.peer.send(agent_topic("old"), f"{API}::set_configuration_request", "", value)
    controller.changed("u", "RUNNING")
    assert controller.ask("agent_welcome").result.success
    answers = controller.peer.heard(f"{API}::set_configuration_response")
    assert "" not in [message.args[0] for message in answers]


def test_what_is_meant_for_another_agent_is_not_heeded(controller: Controller) -> None:
    controller.peer.send(agent_topic("older"), f"{API}::agent_welcome_request", "not for you")
    controller.ask("agent_welcome")
    answers = controller.peer.heard(f"{API}::agent_welcome_response")
    assert "not for you" not in [message.args[0] for message in answers]
    # At the agent's own port that is not even allowed.
    assert controller.peer.refused == (["topic_forbidden"] if controller.peer.has_dialled else [])
