"""Thirty-two nodes on one instance."""

from __future__ import annotations

import pytest
from fleet import Fleet, ini, node

from zeekfleet.testing.daemons import alive

NODES = {
    "manager": node("a1", "manager"),
    "logger": node("a1", "logger"),
    "proxy": node("a1", "proxy"),
    **{f"worker-{number:02}": node("a1", "worker", interface="lo") for number in range(1, 30)},
}


@pytest.fixture
def pids(fleet: Fleet) -> dict[str, int]:
    """Deployed, all of them."""
    assert len(NODES) == 32
    answer = fleet.deploy(ini(["a1"], NODES))
    assert answer.results["nodes"] == {name: {"instance": "a1", "success": True} for name in NODES}
    return fleet.pids()


def test_all_run(fleet: Fleet, pids: dict[str, int]) -> None:
    assert pids.keys() == NODES.keys()
    assert {entry["state"] for entry in fleet.nodes().values()} == {"RUNNING"}
    assert fleet.client("get-id-value", "bits_per_uid").results == dict.fromkeys(NODES, 96)


def test_the_same_configuration_again_touches_no_process(fleet: Fleet, pids: dict[str, int]) -> None:
    answer = fleet.deploy(ini(["a1"], NODES))
    assert len(answer.results["nodes"]) == 32
    assert fleet.pids() == pids


def test_a_change_of_one_nodes_env_restarts_that_node_alone(fleet: Fleet, pids: dict[str, int]) -> None:
    changed = {**NODES, "worker-17": node("a1", "worker", interface="lo", env="COLOUR=green")}
    fleet.deploy(ini(["a1"], changed))
    after = fleet.pids()
    assert {name for name in NODES if after[name] != pids[name]} == {"worker-17"}
    assert not alive(pids["worker-17"])


def test_all_restart(fleet: Fleet, pids: dict[str, int]) -> None:
    answer = fleet.client("restart")
    assert answer.json == {"errors": [], "results": dict.fromkeys(NODES, True)}
    fleet.wait_for_states("RUNNING", *NODES)
    assert not set(fleet.pids().values()) & set(pids.values())
