"""Signals that are no order to stop: a terminal that is closed, logrotate, a slip of the hand."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from trees import INSTANCE, Tree, cluster, node

from support.daemons import clean_environment, wait_for_end_of
from support.waiting import until


def test_a_hangup_opens_the_logs_anew_and_other_signals_do_nothing(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, cluster(node("w1")))
        logs = [tree.state / "nodes" / name / f"management-{name}.log" for name in (INSTANCE, "controller")]
        for log in logs:
            log.rename(log.with_suffix(".moved"))
        tree.daemon.process.send_signal(signal.SIGHUP)
        for log in logs:
            until(log.exists, f"{log} is there again")
        parts = [
            tree.daemon.pid,
            tree.stem.pid,
            *(child.pid for child in tree.stem.children() if "role" in str(child.cmdline())),
        ]
        assert len(parts) == 4
        for pid in parts:
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGHUP):
                os.kill(pid, number)
        until(lambda: tree.daemon.stderr.count("SIGHUP") >= 2, "the supervisor has heard the last one")
        assert tree.running(link, *pids) == pids
        assert [pid for pid in parts if not psutil.pid_exists(pid)] == []


def test_the_terminal_is_closed(tmp_path: Path) -> None:
    """As by a terminal window that is closed while ``up`` runs in it."""
    tree = Tree(tmp_path)
    ours, theirs = pty.openpty()
    options = (
        "--state-dir",
        str(tree.state),
        "--spool-dir",
        str(tree.spool),
        "--engine",
        "sim",
        "--supervisor-port",
        "0",
    )
    ports = ("--websocket-port", str(tree.clients), "--port", str(tree.agents), "--agent-port", "0")
    process = subprocess.Popen(
        (sys.executable, "-m", "zeekfleet", "up", "--agent-name", INSTANCE, *options, *ports),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            os.close(ours)
            process.send_signal(signal.SIGHUP)
            pids = tree.deployed(link, cluster(node("w1")))
            os.kill(pids["w1"], signal.SIGKILL)  # of which the supervisor has a line to write
            tree.when(link, lambda found: found["w1"].pid not in (None, pids["w1"]))
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGQUIT)  # Ctrl-\\ ends it in order, as Ctrl-C does
        assert process.wait(60) == 0
        assert not psutil.pid_exists(pids["w1"])


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start(tmp_path: Path, closed: str) -> None:
    tree = Tree(tmp_path)
    line = (
        f"exec {sys.executable} -m zeekfleet controller --name c --state-dir {tree.state} --spool-dir {tree.spool}"
        f" --websocket-port {tree.clients} --port {tree.agents} {closed}"
    )
    process = subprocess.Popen(("sh", "-c", line), env=clean_environment(), stdout=subprocess.DEVNULL)
    try:
        with tree.link() as link:
            assert tree.nodes(link) == {}
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert wait_for_end_of(process.pid)
