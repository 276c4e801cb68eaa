"""Logs of a real Zeek cluster: rotated into the spool's queue, archived; those of a crashed logger too."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from support.daemons import Daemon, processes_mentioning
from support.ports import free_ports
from support.waiting import until

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

TWO_LOGGERS = "[manager]\nrole = manager\n[logger-1]\nrole = logger\n[logger-2]\nrole = logger\n"
NO_LOGGER = "[manager]\nrole = manager\n"
WORKER = "[worker-1]\nrole = worker\ninterface = lo\n"


def pid_of(directory: Path) -> int:
    (pid,) = (pid for pid, command in processes_mentioning(str(directory)).items() if "/zeek " in command)
    return pid


def kill_while_it_writes(directory: Path) -> str:
    """Kill the node that works there at a moment when it has a log open; the log's name."""

    def caught() -> str:
        pid = pid_of(directory)
        os.kill(pid, signal.SIGSTOP)
        for shadow in directory.glob(".shadow.*"):
            os.kill(pid, signal.SIGKILL)
            return shadow.name.removeprefix(".shadow.").removesuffix(".log")
        os.kill(pid, signal.SIGCONT)
        return ""

    return until(caught, "an open log")


@pytest.mark.parametrize(
    ("nodes", "writer", "backend", "compression", "ending"),
    [
        (TWO_LOGGERS, "logger-1", "zeromq", "gzip", "-logger-1.log.gz"),
        (NO_LOGGER, "manager", "broker", "zstd", ".log.zst"),
    ],
    ids=["two-loggers-zeromq-gzip", "manager-broker-zstd"],
)
def test_logs_are_rotated_and_archived(
    tmp_path: Path, spool: Any, nodes: str, writer: str, backend: str, compression: str, ending: str
) -> None:
    if compression == "zstd" and importlib.util.find_spec("zstandard") is None:
        pytest.skip("no zstandard")
    (tmp_path / "cluster.ini").write_text(nodes + WORKER)
    clients, agents, agent, xpub, xsub, first, metrics = free_ports(7)
    options = {
        "state-dir": "state", "spool-dir": "spool", "engine": "zeek", "backend": backend, "rotation-interval": 2,
        "websocket-port": clients, "controller-port": agents, "agent-port": agent, "supervisor-port": 0,
        "archive-compression": compression,
        "auto-assign-start-port": first, "auto-assign-metrics-start-port": metrics,
    }  # fmt: skip
    if backend == "zeromq":
        options |= {"zeromq-xpub-port": xpub, "zeromq-xsub-port": xsub}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    logs = tmp_path / "logs"
    with Daemon(tmp_path, "up", "cluster.ini", *arguments) as daemon:
        daemon.ready()
        pattern = f"????-??-??/conn.??:??:??-??:??:??{ending}"
        archived = until(lambda: list(logs.glob(pattern)), f"{pattern} in {logs}")
        text = spool.content(archived[0]).decode()
        assert text.startswith("#separator")
        assert re.search(r"^#path\tconn$", text, re.MULTILINE)
        assert text.splitlines()[-1].startswith("#close")

        directory = tmp_path / "state" / "nodes" / writer
        left = kill_while_it_writes(directory)
        errors = directory / "stderr"
        moved = until(
            lambda: re.search(rf"leftover log .*/{re.escape(left)}\.log' -> '(.*)'", errors.read_text()),
            f"rotation of {left}.log after the crash",
        )
        queued = Path(moved[1])
        assert queued.parent == tmp_path / "spool" / "log-queue"
        until(lambda: not queued.exists(), f"archival of {queued.name}")
        opened = queued.name.split("__")[1]
        start = opened[11:].replace("-", ":")
        assert list((logs / opened[:10]).glob(f"{left}.{start}-*{ending}"))
    for output in (tmp_path / "state" / "nodes").glob("*/std*"):
        assert "not found" not in output.read_text(), output
        assert "archive-log" not in output.read_text(), output
