"""The programs of docs/python.md, run as they stand there, but for the controller's port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import Fleet, ini, node
from processes import Lines

from support.waiting import PATIENCE

PAGE = Path(__file__).parents[2] / "docs/python.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
NODES = ini(["a1"], {"manager": node("a1", "manager"), "worker-1": node("a1", "worker")})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("f"))
    try:
        made.start_controller()
        made.start_agent("a1")
        made.wait_for_instances("a1")
        (made.root / "cluster.ini").write_text(NODES)
        yield made
    finally:
        made.stop()


def start(fleet: Fleet, program: str) -> subprocess.Popen[str]:
    text = program.replace("2149", str(fleet.client_port))
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", text], stdout=pipe, stderr=pipe, text=True, cwd=fleet.root)


def output_of(fleet: Fleet, program: str) -> str:
    process = start(fleet, program)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    return out


def with_call(name: str) -> str:
    (found,) = [program for program in PROGRAMS if name in program]
    return found


def test_deploying_and_looking(cluster: Fleet) -> None:
    out = output_of(cluster, with_call("deploy_config("))
    assert out.splitlines() == ["a1 manager RUNNING", "a1 worker-1 RUNNING"]


def test_the_reason_for_no_connection(cluster: Fleet) -> None:
    program = with_call("TransportError")
    promised = re.findall(r"print\(error\)  # (.*)", program)
    assert output_of(cluster, program).splitlines() == promised


def test_nodes_at_work(cluster: Fleet) -> None:
    lines = output_of(cluster, with_call("net_stats(")).splitlines()
    assert lines[0].startswith("worker-1 ")
    assert len(lines) == 2, "the restart had no failures"


def test_following_events(cluster: Fleet) -> None:
    process = start(cluster, with_call("follow_events("))
    out = Lines(process.stdout)
    assert out.wait_for(" connected a1 ")
    os.kill(cluster.pids()["worker-1"], signal.SIGKILL)
    assert out.wait_for(" error a1 worker-1 node worker-1 was killed by SIGKILL")
    assert process.wait(PATIENCE) == 0


def test_a_test_without_a_cluster(cluster: Fleet) -> None:
    assert output_of(cluster, with_call("ManualClock(")) == "2 attempts\n"


def test_every_program_is_run() -> None:
    assert len(PROGRAMS) == 5
