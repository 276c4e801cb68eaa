"""Stops everything that runs on a state directory, including nodes that its daemon would leave running."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from zeekfleet.daemon.directories import LOCK, daemon_directories, held
from zeekfleet.errors import DirectoryHeldError, SettingsError, SupervisionError
from zeekfleet.supervisor import CommandEngine, Supervisor
from zeekfleet.system.processes import ended, has_open

Tell = Callable[[str], None]
"""Called with a sentence that says what is being waited for."""


async def stop_all(state: Path, timeout: float, tell: Tell, *, now: bool = False) -> list[str]:
    """Stop the daemon of a state directory, every node below it, and a controller that runs by itself there.

    The daemon is stopped first, and stops its nodes in order. Nodes that it leaves running (``--on-exit keep``), and
    those of a daemon that is dead, are stopped afterwards.

    Args:
        state: the state directory.
        timeout: seconds that each daemon may take to end.
        tell: called with a sentence that says what is being waited for.
        now: kill nodes when their grace is over, even if they still write.

    Returns:
        What was stopped: names of nodes, and ``daemon PID``; empty if nothing ran.

    Raises:
        SettingsError: there is no such directory.
        StateDirectoryError: it cannot be used.
        SupervisionError: a daemon does not end, or may not be stopped by us.
    """
    trees, alone = _directories_of_daemons(state)
    stopped: list[str] = []
    for directory in trees:
        stopped += await _stop_daemon(directory, timeout, tell, now)
        with held(directory):
            stopped += await _stop_nodes(directory, now)
    for directory in alone:
        stopped += await _stop_daemon(directory, timeout, tell, now)
    return stopped


def _directories_of_daemons(state: Path) -> tuple[list[Path], list[Path]]:
    """The directories in which a tree has run, and those of controllers that ran by themselves.

    Raises:
        SettingsError: there is no such directory.
    """
    if not state.is_dir():
        raise SettingsError("common.state_dir", f"there is no directory {state}: nothing of zeekfleet has run there")
    return [state] if (state / LOCK).exists() else [], daemon_directories(state, LOCK)


async def _stop_daemon(directory: Path, timeout: float, tell: Tell, now: bool) -> list[str]:
    pid = _holder(directory)
    if pid is None:
        return []
    try:
        if not has_open(pid, directory / LOCK):  # another process may have this pid by now, or in this container
            raise SupervisionError(
                f"directory {directory} is held by a daemon that is not visible from here, perhaps in a container"
                f" (it wrote pid {pid}): stop it where it runs"
            )
        os.kill(pid, signal.SIGTERM)
        if now:
            os.kill(pid, signal.SIGINT)  # like a second Ctrl-C; the same signal twice might arrive as one
    except ProcessLookupError:
        return []
    except PermissionError:
        raise SupervisionError(
            f"process {pid}, the daemon of {directory}, belongs to another user, or has capabilities that this command"
            " lacks: a systemd service is stopped by 'systemctl stop'"
        ) from None
    tell(f"waiting for process {pid}, the daemon of {directory}, to end")
    if not await ended(pid, timeout):
        raise SupervisionError(f"process {pid}, the daemon of {directory}, has not ended within {timeout:g} s")
    return [f"daemon {pid}"]


def _holder(directory: Path) -> int | None:
    """The pid of the daemon that holds a directory's lock; None if it is free."""
    if not (directory / LOCK).exists():
        return None
    try:
        with held(directory):
            return None
    except DirectoryHeldError as error:
        if error.holder is None:
            raise
        return error.holder


async def _stop_nodes(state: Path, now: bool) -> list[str]:
    """Stop nodes that no daemon watches: those of the stem that runs, or those that a new stem finds."""
    async with Supervisor(state, CommandEngine(("true",)), on_exit="stop") as supervisor:
        supervisor.in_a_hurry = now
        return sorted(supervisor.status().nodes)
