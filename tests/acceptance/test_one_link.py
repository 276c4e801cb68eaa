"""One controller an agent, one agent a name, one link between the two: whoever dials whom, and whoever else comes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fleet import Fleet, ini, node

from support.ports import free_ports
from support.waiting import until
from zeekfleet.broker import topics
from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.client.link import Retry, connect
from zeekfleet.model.enums import State


def two_nodes(instance: str, worker: str = "w") -> str:
    name = instance.partition(" ")[0]
    return ini([instance], {"m": node(name, "manager"), worker: node(name, "worker", interface="lo")})


def log_of(fleet: Fleet, agent: str) -> str:
    return (fleet.root / agent / "nodes" / agent / "stderr").read_text()


@pytest.fixture
def fleet(new_fleet) -> Iterator[Fleet]:
    made: Fleet = new_fleet()
    made.start_controller()
    return made


@pytest.mark.long
def test_a_configuration_that_names_an_agent_that_dials_as_well(fleet: Fleet) -> None:
    """Two ways to one agent: each event comes once, and a later deployment is not undone by an earlier one."""
    [port] = free_ports()
    fleet.start_agent("a1", port=port)
    fleet.wait_for_instances("a1")
    with connect("127.0.0.1", fleet.client_port, (topics.AGENT_PREFIX,), retry=Retry(3, 5.0)) as watcher:
        for worker in ("w", "w2"):
            answer = fleet.deploy(two_nodes(f"a1 = 127.0.0.1:{port}", worker))
            assert answer.results["nodes"] == {name: {"instance": "a1", "success": True} for name in ("m", worker)}
        pids = fleet.pids()
        assert set(pids) == {"m", "w2"}
        fleet.client("restart", "w2")
        fleet.wait_for_states("RUNNING", "w2")
        restarted = fleet.pids()
        fleet.deploy(two_nodes(f"a1 = 127.0.0.1:{port}", "w2"))
        heard = []
        while len(heard) < 1000 and (received := watcher.receive(2.0)) is not None:
            heard.append(received[1])
    assert len(heard) < 1000  # they do not go round
    changes = [(event.n.name, event.new) for event in heard if isinstance(event, NotifyChange)]
    assert changes.count(("w", State.RUNNING)) == 1
    assert changes.count(("w", State.STOPPED)) == 1
    assert changes.count(("w2", State.RUNNING)) == 2
    assert fleet.pids() == restarted


@pytest.mark.long
def test_two_agents_of_one_name(fleet: Fleet) -> None:
    first = fleet.start_agent("a1")
    fleet.wait_for_instances("a1")
    fleet.deploy(two_nodes("a1"))
    pids = fleet.pids()

    twin = fleet.start_agent("a1", state_dir=fleet.root / "twin", spool_dir=fleet.root / "twin-spool")
    fleet.agents = {"first": first, "twin": twin}
    assert fleet.controller is not None
    refused = "is refused: another agent named a1 is connected, from 127.0.0.1:"
    assert fleet.controller.log.wait_for(refused)
    own_log = fleet.root / "twin" / "nodes" / "a1" / "stderr"
    until(lambda: "refuses this agent, a1: another agent named a1 is connected" in own_log.read_text(), "it is told")
    assert fleet.pids() == pids
    fleet.deploy(two_nodes("a1"))  # the same nodes, from the first alone
    assert fleet.pids() == pids
    assert str(fleet.controller.log).count(refused) == 1
    twin.stop()
    assert fleet.client("get-instances").json == {"a1": {"host": "127.0.0.1"}}
    assert fleet.pids() == pids

    twin.start()
    until(lambda: str(fleet.controller.log).count(refused) == 2, "it is refused again")
    assert first.stop() == 0
    assert fleet.controller.log.wait_for("instance a1 is now the agent at 127.0.0.1:")
    fleet.wait_for_states("RUNNING", "m", "w")
    assert set(fleet.pids().values()).isdisjoint(pids.values())


@pytest.mark.long
def test_two_controllers_of_one_agent_that_waits_to_be_dialled(new_fleet) -> None:
    fleet, other = new_fleet(), new_fleet()
    [port] = free_ports()
    fleet.start_controller(name="first")
    other.start_controller(name="second", request_timeout=3)
    fleet.start_agent("a1", controller="none", port=port)
    instance = f"a1 = 127.0.0.1:{port}"
    fleet.deploy(two_nodes(instance))
    pids = fleet.pids()

    answer = other.client("deploy-config", "-", text=two_nodes(instance, "w2"))
    assert answer.code == 1
    held = "instance 'a1': held by controller 'first' at 127.0.0.1"
    assert other.controller.log.wait_for(f"instance a1 refuses this controller: {held}")
    assert re.search(
        "orders of 'second' at .* are refused: instance a1: held by controller 'first'", log_of(fleet, "a1")
    )
    assert fleet.pids() == pids

    fleet.controller.kill()
    fleet.controller.start()
    until(lambda: "a1" in fleet.client("get-instances").json, "the first is back")
    assert fleet.pids() == pids
    assert other.client("deploy-config", "-", text=two_nodes(instance, "w2")).code == 1
    assert fleet.pids() == pids

    fleet.deploy(ini([], {}))  # it does not need the agent any more
    until(lambda: other.client("deploy", text="").code == 0, "the second has it")
    assert set(other.pids()) == {"m", "w2"}
