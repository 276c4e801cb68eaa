"""``zeekfleet events``: nodes that are killed, deployments, agents that go; asked for, and followed as they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from fleet import Fleet, ini, node
from processes import Lines

from support.waiting import PATIENCE, until

CONFIGURATION = ini(["a1"], {"manager": node("a1", "manager"), "worker-1": node("a1", "worker")})


def documents(fleet: Fleet, *words: str) -> list[dict[str, Any]]:
    answer = fleet.zeekfleet("events", "--json", *words)
    assert (answer.code, answer.err) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


@contextmanager
def following(fleet: Fleet, *words: str):
    """``zeekfleet events -f``: the process, with what it has written."""
    command = [sys.executable, "-m", "zeekfleet", "--controller", f"127.0.0.1:{fleet.client_port}", "events", "-f"]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, Lines(process.stdout)
    finally:
        process.kill()
        process.wait(PATIENCE)


@pytest.fixture
def cluster(new_fleet: Callable[[], Fleet]) -> Fleet:
    fleet = new_fleet()
    fleet.start_controller()
    fleet.start_agent("a1")
    fleet.wait_for_instances("a1")
    fleet.deploy(CONFIGURATION)
    fleet.wait_for_states("RUNNING", "manager", "worker-1")
    return fleet


def test_what_happened_is_told(cluster: Fleet) -> None:
    began = documents(cluster)
    assert began[0]["kind"] == "connected"
    (deployment,) = [event for event in began if event["kind"] == "deployment"]
    assert deployment["success"] is True
    before_the_kill, known = time.time(), documents(cluster)
    os.kill(cluster.pids()["worker-1"], signal.SIGKILL)

    def changes() -> list[tuple[str, str, str]]:
        found = documents(cluster, "--since", f"{time.time() - before_the_kill + 1:.3f}s")
        news = [event for event in found if event not in known]
        return [(event["node"], event["old"], event["new"]) for event in news if event["kind"] == "change"]

    until(lambda: any(node == "worker-1" and new == "RUNNING" for node, _, new in changes()), "worker-1 runs again")
    assert all(node == "worker-1" for node, _, _ in changes())
    assert documents(cluster, "--since", "1h") == documents(cluster)
    assert cluster.agents["a1"].stop() == 0
    until(lambda: documents(cluster)[-1]["kind"] == "gone", "the agent is gone")
    table = cluster.zeekfleet("events")
    assert table.code == 0
    heading, first, *_, last = table.out.splitlines()
    assert heading.split() == ["TIME", "INSTANCE", "NODE", "EVENT"]
    assert "checked in from 127.0.0.1" in first
    assert "is gone: " in last


def test_steps_are_told_when_they_are_wanted(cluster: Fleet) -> None:
    assert all(event["kind"] != "log" for event in documents(cluster))
    assert any(event["kind"] == "log" for event in documents(cluster, "--all"))


def test_following_goes_on_with_what_happens(cluster: Fleet) -> None:
    with following(cluster, "--since", "1h") as (process, out):
        assert out.wait_for("deployment of configuration")
        os.kill(cluster.pids()["worker-1"], signal.SIGKILL)
        assert out.wait_for("-> running")
        controller = cluster.controller
        assert controller is not None
        controller.kill()
        controller.start()
        assert out.wait_for("checked in from 127.0.0.1")
        lines = str(out).splitlines()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert len(lines) == len(set(lines)), "nothing is told twice"


def test_a_moment_that_is_none_is_refused(blank: Fleet) -> None:
    answer = blank.zeekfleet("events", "--since", "soon")
    assert answer.code == 2
    assert "--since: expected a duration such as 15min or 2d, or a past time" in answer.err
    assert blank.zeekfleet("events", "--since", "1s").out == "nothing has happened\n"
