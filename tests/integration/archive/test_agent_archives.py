"""The agent archives its host's spool, as its settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.daemons import Daemon, DaemonEndedError
from support.waiting import until

HOUR = "2024-01-02-03-00-00__2024-01-02-04-00-00"
CONN = f"conn__{HOUR}__.log"


def agent(spool: Any, *options: str) -> Daemon:
    places = ("--state-dir", str(spool.root / "state"), "--spool-dir", str(spool.queue.parent))
    links = ("--controller", "none", "--port", "0", "--supervisor-port", "0", "--engine", "sim")
    return Daemon(spool.root / "daemon", "agent", "--name", "a", *places, *links, *options)


@pytest.mark.parametrize(
    ("options", "archived"),
    [
        ((), "logs/2024-01-02/conn.03:00:00-04:00:00.log.gz"),
        (("--archive-compression", "none"), "logs/2024-01-02/conn.03:00:00-04:00:00.log"),
        (("--log-dir", "{root}/elsewhere"), "elsewhere/2024-01-02/conn.03:00:00-04:00:00.log.gz"),
        (("--archive-command", "mv {{queue}}/" + CONN + " {{logs}}/moved"), "logs/moved"),
    ],
    ids=["default", "plain", "elsewhere", "command"],
)
def test_rotated_logs_are_archived(spool: Any, options: tuple[str, ...], archived: str) -> None:
    spool.logs = spool.queue.parent.parent / "logs"
    spool.rotate(CONN, b"x")
    with agent(spool, *(option.format(root=spool.root) for option in options)) as daemon:
        daemon.ready()
        until((spool.root / archived).exists)
        until(lambda: not spool.waiting())


def test_switched_off_it_leaves_them(spool: Any) -> None:
    spool.rotate(CONN, b"x")
    with agent(spool, "--archive", "no") as daemon:
        daemon.ready()
    assert spool.waiting() == {CONN}
    assert not spool.logs.exists()


def test_failures_are_in_the_management_log_and_do_not_end_the_agent(spool: Any) -> None:
    spool.logs.write_text("a file in the way")
    log = Path(spool.root / "state" / "nodes" / "a" / "management-a.log")
    with agent(spool) as daemon:
        daemon.ready()
        until(lambda: f"ERROR\tAGENT\tlogs cannot be archived: {spool.logs}: File exists" in log.read_text())
        assert daemon.alive
        spool.rotate(CONN, b"x")
        spool.logs.unlink()
        until(lambda: not spool.waiting())


def test_a_command_that_makes_no_sense_is_refused(spool: Any) -> None:
    command = ("--archive-command", "'open")
    with agent(spool, *command) as daemon, pytest.raises(DaemonEndedError, match=r"--archive-command: "):
        daemon.ready()
