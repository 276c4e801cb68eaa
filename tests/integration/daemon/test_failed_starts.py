"""A tree that does not come up leaves running what it has found."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from support.daemons import Daemon, wait_for_end_of
from support.ports import free_ports
from support.waiting import until

INI = "[manager]\nrole = manager\ninstance = a\n\n[worker]\nrole = worker\ninstance = a\n\n[instances]\na\n"


def pids(state: Path) -> dict[str, int]:
    lines = (state / "stem" / "processes").read_bytes().splitlines()[1:]
    records = {record["name"]: record for record in map(json.loads, lines)}
    return {name: record["pid"] for name, record in records.items() if not record.get("gone")}


@pytest.mark.parametrize(
    "survivors", ["nodes", pytest.param("nodes, stem, agent and controller", marks=pytest.mark.long)]
)
def test_a_taken_port_costs_no_node(tmp_path: Path, survivors: str) -> None:
    clients, agents, nodes = free_ports(3)
    state = tmp_path / "state"
    (tmp_path / "cluster.ini").write_text(INI)
    options = (
        *("--engine", "sim", "--agent-name", "a", "--controller-name", "c", "--state-dir", str(state)),
        *("--spool-dir", str(tmp_path / "spool"), "--agent-port", "0", "--supervisor-port", "0"),
        *("--websocket-port", str(clients), "--port", str(agents), "--auto-assign-start-port", str(nodes)),
        *("--auto-assign-metrics-ports", "no"),
    )
    with Daemon(tmp_path / "one", "up", str(tmp_path / "cluster.ini"), *options) as first:
        first.ready()
        until(lambda: {"manager", "worker"} <= pids(state).keys() and "deployed configuration" in first.stdout)
        before = pids(state)
        stem = psutil.Process(before["worker"]).ppid()
        first.kill()
    if survivors == "nodes":
        for victim in (stem, before["a"], before["c"]):
            os.kill(victim, signal.SIGKILL)
            assert wait_for_end_of(victim)
        taken = clients
        changed: tuple[str, ...] = ()
    else:
        (taken,) = free_ports(1)
        changed = ("--websocket-port", str(taken))
    with socket.create_server(("127.0.0.1", taken)), Daemon(tmp_path / "two", "up", *options, *changed) as second:
        assert second.wait() == 1
        assert f"error: cannot listen on 127.0.0.1:{taken}" in second.stderr.splitlines()[-1]
    for name in ("manager", "worker"):
        assert psutil.pid_exists(before[name]), second.stderr
    with Daemon(tmp_path / "three", "up", *options) as third:
        third.ready()
        after = pids(state)
        assert {name: after[name] for name in ("manager", "worker")} == {
            name: before[name] for name in ("manager", "worker")
        }
        assert third.stop() == 0
    assert all(wait_for_end_of(pid, 0) for pid in before.values())
