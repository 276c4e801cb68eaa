"""Deployments in which a node fails: told for that node, the others succeed, and nobody waits for the time-out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fleet import Answer, Fleet, ini, node

AGENT_TIMEOUT = 60
"""Configured in these tests; an answer must come long before."""


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller and agent a1, both with long time-outs."""
    made = Fleet(tmp_path_factory.mktemp("f"))
    try:
        made.start_controller(request_timeout=AGENT_TIMEOUT + 30)
        made.start_agent("a1", request_timeout=AGENT_TIMEOUT)
        yield made
    finally:
        made.stop()


def deploy(fleet: Fleet, nodes: dict[str, dict[str, str]]) -> Answer:
    settings = [f"client.request_timeout_secs={AGENT_TIMEOUT + 40}"]
    return fleet.client("deploy-config", "-", text=ini(["a1"], nodes), settings=settings)


def test_a_node_that_fails_is_told_with_its_output_and_long_before_the_time_out(patient: Fleet) -> None:
    nodes = {
        "manager": node("a1", "manager"),
        "good": node("a1", "worker"),
        "bad": node("a1", "worker", env="ZEEKFLEET_SIM_FAIL_AT_START=7"),
    }
    started = time.monotonic()
    answer = deploy(patient, nodes)
    assert time.monotonic() - started < AGENT_TIMEOUT / 3
    assert answer.code == 1
    assert answer.errors == []
    told = answer.results["nodes"]
    assert told["manager"] == {"instance": "a1", "success": True}
    assert told["good"] == {"instance": "a1", "success": True}
    assert told["bad"]["success"] is False
    assert told["bad"]["instance"] == "a1"
    assert "bad" in told["bad"]["stderr"]
    assert "bad" in told["bad"]["stdout"]
    # The deployment stands, as every agent has answered.
    assert answer.results["id"] in patient.client("get-config", "--deployed", "--as-json").out
    states = {name: entry["state"] for name, entry in patient.nodes().items()}
    assert states["good"] == states["manager"] == "RUNNING"
    assert states["bad"] != "RUNNING"


def test_both_streams_of_a_node_that_dies_before_its_hello(patient: Fleet) -> None:
    env = (
        "ZEEKFLEET_SIM_SILENT=1 ZEEKFLEET_SIM_CRASH_AFTER=0.2"
        ' "ZEEKFLEET_SIM_OUTPUT=said on stdout" "ZEEKFLEET_SIM_ERRORS=said on stderr"'
    )
    nodes = {"manager": node("a1", "manager"), "bad": node("a1", "worker", env=env)}
    answer = deploy(patient, nodes)
    told = answer.results["nodes"]
    assert answer.code == 1
    assert told["manager"]["success"] is True
    assert told["bad"]["success"] is False
    assert "said on stdout" in told["bad"]["stdout"]
    assert "said on stderr" in told["bad"]["stderr"]


def test_a_node_that_never_says_hello_times_out_alone(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    fleet.start_controller()
    fleet.start_agent("a1", request_timeout=1)
    nodes = {"manager": node("a1", "manager"), "mute": node("a1", "worker", env="ZEEKFLEET_SIM_SILENT=1")}
    answer = fleet.client("deploy-config", "-", text=ini(["a1"], nodes))
    assert answer.code == 1
    assert answer.errors == ["request timed out"]
    assert answer.results["nodes"] == {
        "manager": {"instance": "a1", "success": True},
        "mute": {"instance": "a1", "success": False},
    }
    assert fleet.nodes()["mute"]["state"] == "PENDING"
    values = fleet.client("get-id-value", "bits_per_uid")
    assert values.code == 1
    assert values.json == {
        "errors": [{"source": "mute", "error": "cluster node mute not in running state"}],
        "results": {"manager": 96},
    }


def test_a_late_starter_is_waited_for(fleet: Fleet) -> None:
    nodes = {"late": node("a1", "manager", env="ZEEKFLEET_SIM_START_DELAY=1")}
    answer = fleet.deploy(ini(["a1"], nodes))
    assert answer.results["nodes"] == {"late": {"instance": "a1", "success": True}}


def test_a_failed_node_comes_up_once_its_cause_is_gone(fleet: Fleet) -> None:
    bad = {"m": node("a1", "manager"), "w": node("a1", "worker", env="ZEEKFLEET_SIM_FAIL_AT_START=1")}
    assert fleet.client("deploy-config", "-", text=ini(["a1"], bad)).code == 1
    manager = fleet.pids()["m"]
    fleet.deploy(ini(["a1"], {**bad, "w": node("a1", "worker")}))
    fleet.wait_for_states("RUNNING", "w")
    assert fleet.pids()["m"] == manager
