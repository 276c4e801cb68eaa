"""An agent that speaks ``ClusterAgent::API`` alone, below our controller, beside an agent of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from first_generation import Message, Peer, agent_topic, result
from fleet import Fleet, ini, node
from zeekclient import brokertypes as bt

API = "ClusterAgent::API"
TYPES = "ClusterController::Types"
TOPIC = agent_topic("old")


@dataclass
class OldAgent:
    """Does as it is told, and keeps what it was told."""

    fleet: Fleet
    peer: Peer
    instance: str = "old"
    configurations: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, how in (
            ("agent_welcome", self._done),
            ("agent_standby", self._done),
            ("set_configuration", self._configure),
            ("get_nodes", self._nodes),
        ):
            self.peer.answer(f"{API}::{name}_request", how)

    def hello(self, version: int = 1) -> None:
        self.tell("notify_agent_hello", bt.Address("127.0.0.1"), version)

    def tell(self, name: str, *args: object) -> None:
        self.peer.send(TOPIC, f"{API}::{name}", "old", *args)

    def _reply(self, request: Message, data: bt.Type | None = None) -> None:
        reqid = request.args[0]
        name = request.name.replace("_request", "_response")
        self.peer.send(TOPIC, name, reqid, result(reqid, "old", data=data))

    def _done(self, request: Message) -> None:
        self._reply(request)

    def _configure(self, request: Message) -> None:
        self.configurations.append(request)
        self._reply(request)

    def _nodes(self, request: Message) -> None:
        status = bt.Vector(
            [
                bt.String("w"),
                bt.Enum(f"{TYPES}::RUNNING"),
                bt.Enum(f"{TYPES}::NONE"),
                bt.Enum("Supervisor::WORKER"),
                bt.Integer(4242),
                bt.Port(4711),
            ]
        )
        self._reply(request, bt.Vector([status]))


@pytest.fixture(params=["the agent dials", "the agent is dialled"])
def old(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[OldAgent]:
    with Peer(TOPIC) as peer:
        agent = OldAgent(fleet, peer)
        if request.param == "the agent dials":
            peer.dial(fleet.agent_port)
            agent.hello()
            fleet.wait_for_instances("a1", "a2", "old")
        else:
            agent.instance = f"old = 127.0.0.1:{peer.listen()}"
            peer.on_connection(agent.hello)
        yield agent
        fleet.deploy("")


def test_it_is_welcomed_configured_and_answers(old: OldAgent) -> None:
    fleet = old.fleet
    nodes = {"m": node("a1", "manager"), "w": node("old", "worker", interface="lo", env="COLOUR=green")}
    answer = fleet.deploy(ini(["a1", old.instance], nodes))
    # Ours tells each node's fate, the old one that it has handed its nodes over.
    assert answer.results["nodes"] == {"m": {"instance": "a1", "success": True}}
    assert old.peer.wait(f"{API}::agent_welcome_request").topic == TOPIC

    [told] = old.configurations
    identifier, instances, told_nodes = told.args[1]
    assert identifier == answer.results["id"]
    assert {fields[0]: fields[1] for fields in instances} == {"a1": "127.0.0.1", "old": "127.0.0.1"}
    by_name = {fields[0]: fields for fields in told_nodes}
    assert all(len(fields) == 10 for fields in told_nodes)
    assert by_name["m"][4] == f"{fleet.first_port}/tcp"
    assert by_name["w"][1:4] == ["old", "Supervisor::WORKER", f"{TYPES}::RUNNING"]
    assert by_name["w"][7:] == ["lo", None, {"COLOUR": "green"}]

    shown = fleet.client("get-nodes").results
    assert shown["old"] == {
        "w": {"state": "RUNNING", "mgmt_role": None, "cluster_role": "WORKER", "pid": 4242, "port": 4711}
    }
    assert "m" in shown["a1"]

    values = fleet.client("get-id-value", "bits_per_uid")
    assert values.code == 1
    assert values.results == {"m": 96}
    assert [entry["error"] for entry in values.errors] == ["not supported by this instance's agent"]

    # It hears the first generation's names alone.
    assert {message.topic for message in old.peer.everything()} <= {TOPIC, agent_topic("a1"), agent_topic("a2")}
    assert all(message.name.startswith(f"{API}::") for message in old.peer.everything())

    fleet.deploy(ini(["a1"], {"m": node("a1", "manager")}))
    assert old.peer.wait(f"{API}::agent_standby_request").args == [""]


def test_what_it_notifies_is_kept_and_shown(old: OldAgent) -> None:
    old.fleet.deploy(ini([old.instance], {}))
    changed = bt.Vector(
        [
            bt.String("w"),
            bt.String("old"),
            bt.Enum("Supervisor::WORKER"),
            bt.Enum(f"{TYPES}::CRASHED"),
            *([bt.NoneType()] * 5),
            bt.Table(),
        ]
    )
    old.tell("notify_change", changed, bt.Enum(f"{TYPES}::RUNNING"), bt.Enum(f"{TYPES}::CRASHED"))
    old.tell("notify_error", "out of luck")
    old.tell("notify_log", "took a step", "w")
    log = old.fleet.controller.log
    assert log.wait_for("instance old: node w: RUNNING to CRASHED")
    assert log.wait_for("instance old: out of luck")
    assert log.wait_for("instance old: took a step")


def test_another_version_is_not_taken(old: OldAgent) -> None:
    old.fleet.deploy(ini([old.instance], {}))
    old.hello(version=2)
    assert old.fleet.controller.log.wait_for("instance old has checked in with incompatible API version 2")
    old.fleet.wait_for_instances("a1", "a2")
