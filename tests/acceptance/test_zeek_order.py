"""Real Zeeks join and leave their cluster in order, although they read their scripts at the same time."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from fleet import Fleet, hub_ports, ini, node

from support.waiting import until
from zeekfleet.agent.start_barrier import BARRIER_FILE

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

BACKENDS = ("zeromq", "broker")
GROUPS = (("logger-1", "logger-2"), ("manager",), ("proxy",), ("worker-1", "worker-2"))
NODES = {
    "manager": node("here", "manager"),
    "logger-1": node("here", "logger"),
    "logger-2": node("here", "logger"),
    "proxy": node("here", "proxy"),
    "worker-1": node("here", "worker", interface="lo"),
    "worker-2": node("here", "worker", interface="lo"),
}


@pytest.fixture(params=BACKENDS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """With all the time that a busy machine takes for a group."""
    fleet = Fleet(tmp_path)
    try:
        fleet.start_up(engine="zeek", backend=request.param, group_wait=30, **hub_ports(request.param))
        yield fleet
    finally:
        fleet.stop()


def directory(fleet: Fleet, name: str) -> Path:
    return fleet.root / "up" / "nodes" / name


def told(fleet: Fleet, name: str, text: str) -> list[float]:
    """When the node said so in its management log."""
    lines = (directory(fleet, name) / f"management-{name}.log").read_text().splitlines()
    return [float(line.split("\t")[0]) for line in lines if text in line.split("\t")[-1]]


def begun_in_order(fleet: Fleet) -> None:
    """Each node of a group began after all of the one before were up, which a Zeek is right after it says so."""
    begun = {name: told(fleet, name, " is live")[-1] for group in GROUPS for name in group}
    for earlier, later in pairwise(GROUPS):
        assert max(begun[name] for name in earlier) < min(begun[name] for name in later), (begun, earlier, later)


def test_a_deployment_and_a_restart(fleet: Fleet) -> None:
    fleet.deploy(ini(["here"], NODES))
    begun_in_order(fleet)
    old = fleet.pids()
    assert fleet.client("restart").code == 0
    fleet.wait_for_states("RUNNING", *NODES)
    assert not old.items() & fleet.pids().items()
    begun_in_order(fleet)
    ended = {name: told(fleet, name, " ends")[-1] for name in NODES}
    begun = {name: told(fleet, name, " is live")[-1] for name in NODES}
    for later, earlier in pairwise(GROUPS):
        assert max(ended[name] for name in earlier) < min(ended[name] for name in later)
    assert max(ended.values()) < min(begun.values())


def test_nobody_waits_for_an_agent_that_is_no_more(fleet: Fleet) -> None:
    """It is killed while a logger takes its time, and all others are held."""
    slow = fleet.root / "slow"
    os.mkfifo(slow)
    script = fleet.root / "slow.zeek"
    script.write_text(f'event zeek_init() {{ close(open("{slow}")); }}\n')
    nodes = {**NODES, "logger-1": node("here", "logger", scripts=script)}
    try:
        fleet.client("stage-config", "-", text=ini(["here"], nodes))
        deploying = fleet.client("deploy", settings=["client.request_timeout_secs=3"])
        assert deploying.code != 0
        held = [name for group in GROUPS[1:] for name in group]
        until(lambda: all((directory(fleet, name) / BARRIER_FILE).is_fifo() for name in held), "all others are held")
        os.kill(fleet.nodes()["here"]["pid"], signal.SIGKILL)
        fleet.wait_for_states("RUNNING", *held)
        assert not any((directory(fleet, name) / BARRIER_FILE).is_fifo() for name in held)
    finally:
        with slow.open("rb"):
            fleet.wait_for_states("RUNNING", *NODES)
