"""Signals for a process and its group."""

from __future__ import annotations

import os
import signal


def send(pid: int, number: signal.Signals, pidfd: int | None, *, is_child: bool) -> None:
    """Signal a whole process group, or its leader alone while it has none of its own yet.

    Args:
        pid: the leader, which is known to be the process that is meant.
        number: the signal.
        pidfd: a descriptor of the leader, if there is one.
        is_child: the leader is a child of ours that has not been reaped.
    """
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        _signal_leader(pid, number, pidfd, is_child)
    except PermissionError:
        # The group holds processes of another user: what may be signalled was.
        return


def _signal_leader(pid: int, number: signal.Signals, pidfd: int | None, is_child: bool) -> None:
    try:
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, number)
        elif is_child:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
