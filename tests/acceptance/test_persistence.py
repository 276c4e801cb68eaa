"""What survives the end of the controller, of agents, of everything, in order or by SIGKILL."""

from __future__ import annotations

import os
import signal

import pytest
from fleet import Fleet, ini, node
from processes import Daemon, processes_of

from support.daemons import alive
from support.waiting import until

CONFIGURATION = ini(
    ["a1", "a2"],
    {"manager": node("a1", "manager"), "w1": node("a1", "worker"), "w2": node("a2", "worker")},
)

ENDINGS = pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])


def end(daemon: Daemon, ending: signal.Signals) -> None:
    if ending is signal.SIGKILL:
        daemon.kill()
    else:
        assert daemon.stop() == 0


def deployed_id(fleet: Fleet) -> str:
    identifier: str = fleet.client("get-config", "--deployed", "--as-json").json["id"]
    return identifier


def came_back(fleet: Fleet) -> None:
    """Wait until the controller has deployed anew what was deployed, and all nodes run."""
    assert fleet.controller is not None
    assert fleet.controller.log.wait_for("deployed again")
    fleet.wait_for_states("RUNNING", "manager", "w1", "w2")


@ENDINGS
def test_the_controller(fleet: Fleet, ending: signal.Signals) -> None:
    identifier = fleet.deploy(CONFIGURATION).results["id"]
    staged = fleet.client("stage-config", "-", text=ini(["a1"], {"other": node("a1", "manager")})).results["id"]
    pids = fleet.pids()
    end(fleet.controller, ending)
    assert all(alive(pid) for pid in pids.values())
    fleet.controller.start()
    came_back(fleet)
    assert deployed_id(fleet) == identifier
    assert fleet.client("get-config", "--staged", "--as-json").json["id"] == staged
    assert fleet.pids() == pids
    # What was staged can be deployed now.
    answer = fleet.client("deploy")
    assert answer.code == 0, answer
    assert answer.results["id"] == staged


def test_an_agents_end_in_order_stops_its_nodes_and_its_return_brings_them_back(fleet: Fleet) -> None:
    identifier = fleet.deploy(CONFIGURATION).results["id"]
    before = fleet.pids()
    redeployed = fleet.controller.log.count("deployed again")
    assert fleet.agents["a2"].stop() == 0
    assert not alive(before["w2"])
    fleet.wait_for_instances("a1")
    fleet.agents["a2"].start()
    assert fleet.controller.log.wait_for("deployed again", times=redeployed + 1)
    fleet.wait_for_states("RUNNING", "w2")
    after = fleet.pids()
    assert after["w2"] != before.pop("w2")
    assert {name: after[name] for name in before} == before
    assert deployed_id(fleet) == identifier


def test_an_agent_killed_leaves_its_nodes_and_finds_them_again(fleet: Fleet) -> None:
    fleet.deploy(CONFIGURATION)
    pids = fleet.pids()
    fleet.agents["a1"].kill()
    assert all(alive(pid) for pid in pids.values())
    fleet.agents["a1"].start()
    fleet.wait_for_instances("a1", "a2")
    fleet.wait_for_states("RUNNING", "manager", "w1", "w2")
    assert fleet.pids() == pids


def test_the_agents_own_process_comes_back_by_itself(fleet: Fleet) -> None:
    fleet.deploy(CONFIGURATION)
    pids = fleet.pids()
    agent = fleet.nodes()["a1"]["pid"]
    os.kill(agent, signal.SIGKILL)

    def replaced() -> bool:
        entry = fleet.client("get-nodes").results.get("a1", {}).get("a1")
        return entry is not None and entry["pid"] != agent

    until(replaced, "another agent runs")
    fleet.wait_for_states("RUNNING", "manager", "w1", "w2")
    assert fleet.pids() == pids


def test_a_node_killed_comes_back_by_itself(fleet: Fleet) -> None:
    fleet.deploy(CONFIGURATION)
    before = fleet.pids()
    os.kill(before["w1"], signal.SIGKILL)
    until(lambda: fleet.pids().get("w1", before["w1"]) != before["w1"], "another w1 runs")
    fleet.wait_for_states("RUNNING", "w1")
    after = fleet.pids()
    assert {name for name in after if after[name] != before[name]} == {"w1"}


def test_all_in_order(fleet: Fleet) -> None:
    identifier = fleet.deploy(CONFIGURATION).results["id"]
    before = fleet.pids()
    daemons = [fleet.controller, *fleet.agents.values()]
    for daemon in daemons:
        end(daemon, signal.SIGTERM)
    assert processes_of(fleet.root) == {}
    for daemon in daemons:
        daemon.start()
    came_back(fleet)
    assert deployed_id(fleet) == identifier
    assert not set(fleet.pids().values()) & set(before.values())


def test_all_daemons_killed(fleet: Fleet) -> None:
    identifier = fleet.deploy(CONFIGURATION).results["id"]
    pids = fleet.pids()
    daemons = [fleet.controller, *fleet.agents.values()]
    for daemon in daemons:
        end(daemon, signal.SIGKILL)
    for daemon in daemons:
        daemon.start()
    came_back(fleet)
    assert deployed_id(fleet) == identifier
    assert fleet.pids() == pids


def test_every_process_killed_as_when_the_host_goes_down(fleet: Fleet) -> None:
    identifier = fleet.deploy(CONFIGURATION).results["id"]
    daemons = [fleet.controller, *fleet.agents.values()]
    for daemon in daemons:
        daemon.kill()
    # Whatever revives others may do so until its own turn comes.
    until(lambda: not [os.kill(pid, signal.SIGKILL) for pid in processes_of(fleet.root) if alive(pid)], "all are dead")
    for daemon in daemons:
        daemon.start()
    came_back(fleet)
    assert deployed_id(fleet) == identifier
    assert sorted(fleet.pids()) == ["manager", "w1", "w2"]


@pytest.mark.parametrize(
    "ending",
    [pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.long), pytest.param(signal.SIGKILL, id="SIGKILL")],
)
def test_a_whole_tree(new_fleet, ending: signal.Signals) -> None:
    fleet: Fleet = new_fleet()
    daemon = fleet.start_up()
    fleet.wait_for_instances("here")
    identifier = fleet.deploy(ini(["here"], {"m": node("here", "manager"), "w": node("here", "worker")})).results["id"]
    pids = fleet.pids()
    end(daemon, ending)
    assert all(alive(pid) is (ending is signal.SIGKILL) for pid in pids.values())
    daemon.start()
    fleet.wait_for_instances("here")
    fleet.wait_for_states("RUNNING", "m", "w")
    assert deployed_id(fleet) == identifier
    assert (fleet.pids() == pids) is (ending is signal.SIGKILL)


def test_what_was_only_staged_survives(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    fleet.start_controller()
    staged = fleet.client("stage-config", "-", text=ini(["a1"], {"m": node("a1", "manager")})).results["id"]
    fleet.controller.kill()
    fleet.controller.start()
    assert fleet.client("get-config", "--as-json").json["id"] == staged
    assert fleet.client("get-config", "--deployed").code == 1
    fleet.start_agent("a1")
    answer = fleet.client("deploy")
    assert answer.results == {"id": staged, "nodes": {"m": {"instance": "a1", "success": True}}}
