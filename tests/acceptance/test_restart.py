"""restart."""

from __future__ import annotations

import pytest
from fleet import Fleet, ini, node

from support.daemons import alive


@pytest.fixture
def deployed(fleet: Fleet) -> Fleet:
    """Two nodes on each of two instances."""
    nodes = {
        "manager": node("a1", "manager"),
        "w1": node("a1", "worker"),
        "proxy": node("a2", "proxy"),
        "w2": node("a2", "worker"),
    }
    fleet.deploy(ini(["a1", "a2"], nodes))
    return fleet


def restarted(fleet: Fleet, before: dict[str, int]) -> set[str]:
    fleet.wait_for_states("RUNNING", *before)
    after = fleet.pids()
    assert after.keys() == before.keys()
    changed = {name for name in before if after[name] != before[name]}
    assert not any(alive(before[name]) for name in changed)
    return changed


def test_all(deployed: Fleet) -> None:
    before = deployed.pids()
    agents = {name: entry["pid"] for name, entry in deployed.nodes().items() if entry["mgmt_role"]}
    answer = deployed.client("restart")
    assert answer.code == 0
    assert answer.json == {"errors": [], "results": {"manager": True, "proxy": True, "w1": True, "w2": True}}
    assert restarted(deployed, before) == {"manager", "proxy", "w1", "w2"}
    assert {name: entry["pid"] for name, entry in deployed.nodes().items() if entry["mgmt_role"]} == agents


def test_some(deployed: Fleet) -> None:
    before = deployed.pids()
    answer = deployed.client("restart", "w1", "w2")
    assert answer.code == 0
    assert answer.json == {"errors": [], "results": {"w1": True, "w2": True}}
    assert restarted(deployed, before) == {"w1", "w2"}


def test_one(deployed: Fleet) -> None:
    before = deployed.pids()
    assert deployed.client("restart", "proxy").results == {"proxy": True}
    assert restarted(deployed, before) == {"proxy"}


def test_unknown(deployed: Fleet) -> None:
    before = deployed.pids()
    answer = deployed.client("restart", "nobody")
    assert answer.code == 1
    assert answer.json == {"errors": [{"source": "nobody", "error": "unknown cluster node"}], "results": {}}
    assert restarted(deployed, before) == set()


def test_unknown_beside_known(deployed: Fleet) -> None:
    before = deployed.pids()
    answer = deployed.client("restart", "nobody", "manager", "a1")
    assert answer.code == 1
    assert answer.errors == [
        {"source": "a1", "error": "unknown cluster node"},
        {"source": "nobody", "error": "unknown cluster node"},
    ]
    assert answer.results == {"manager": True}
    assert restarted(deployed, before) == {"manager"}


def test_without_instances(blank: Fleet) -> None:
    answer = blank.client("restart")
    assert answer.code == 1
    assert answer.json == {"errors": [{"source": None, "error": "no instances connected"}], "results": {}}


def test_without_deployment(idle: Fleet) -> None:
    nothing = {"errors": [{"source": None, "error": "no active cluster deployment"}], "results": {}}
    answer = idle.client("restart")
    assert (answer.code, answer.json) == (1, nothing)
    assert idle.client("stage-config", "-", text=ini(["a1"], {"m": node("a1", "manager")})).code == 0
    answer = idle.client("restart", "m")
    assert (answer.code, answer.json) == (1, nothing)


def test_a_node_that_ignores_sigterm(new_fleet) -> None:
    """The agent's request time-out is shorter than the grace, in the proportion of the defaults."""
    fleet: Fleet = new_fleet()
    fleet.start_controller()
    fleet.start_agent("a1", grace=2, request_timeout=1)
    nodes = {"m": node("a1", "manager"), "stubborn": node("a1", "worker", env="ZEEKFLEET_SIM_IGNORE_SIGTERM=1")}
    fleet.deploy(ini(["a1"], nodes))
    before = fleet.pids()
    answer = fleet.client("restart", "stubborn")
    assert answer.json == {"errors": [], "results": {"stubborn": True}}
    assert restarted(fleet, before) == {"stubborn"}
    # A deployment waits for it, too.
    before = fleet.pids()
    nodes["stubborn"]["env"] += " CHANGED=1"
    assert fleet.deploy(ini(["a1"], nodes)).errors == []
    assert restarted(fleet, before) == {"stubborn"}
    # And it goes with its tree.
    pids = fleet.pids()
    assert fleet.agents["a1"].stop() == 0
    assert not any(alive(pid) for pid in pids.values())
