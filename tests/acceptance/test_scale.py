"""Thirty-two nodes on one instance."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fleet import Fleet, ini, node

from support.daemons import alive
from support.waiting import until

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


SLOW = {
    name: node("a1", "worker", interface="lo", env=f"ZEEKFLEET_SIM_START_DELAY={number * 0.75}")
    for number, name in enumerate(f"worker-{number:02}" for number in range(32))
}
"""Up one after the other, the last after 23 s."""


@pytest.mark.long
def test_nodes_that_come_up_one_after_the_other_are_waited_for(fleet: Fleet) -> None:
    text = ini(["a1"], {"manager": node("a1", "manager"), **SLOW})
    command = [
        sys.executable,
        "-m",
        "zeekfleet",
        "--controller",
        f"127.0.0.1:{fleet.client_port}",
        "deploy-config",
        "-",
    ]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines if " running " in line] == [
        ["a1", name, "running", "started"] for name in ("manager", *sorted(SLOW))
    ]


@pytest.mark.long
def test_a_client_that_waits_20_seconds_is_answered_before_and_the_deployment_goes_on(fleet: Fleet) -> None:
    text = ini(["a1"], {"manager": node("a1", "manager"), **SLOW})
    answer = fleet.client("deploy-config", "-", text=text, settings=["client.request_timeout_secs=20"])
    assert answer.code == 1
    assert answer.json["errors"] == ["request timed out"]
    nodes = answer.json["results"]["nodes"]
    assert nodes["manager"] == {"instance": "a1", "success": True}
    assert nodes["worker-31"] == {"instance": "a1", "success": False}
    fleet.wait_for_states("RUNNING", "manager", *SLOW)
    until(lambda: "worker-31" in fleet.client("get-config", "--deployed").out, "the configuration is kept")
