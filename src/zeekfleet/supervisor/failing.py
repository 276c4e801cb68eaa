"""Ending a process that is as good as dead, in a way that counts as its own end.

A restart on request forgets what happened before. This leaves it to the revival policy what comes next: at once, after
a while, or never.
"""

from __future__ import annotations

import os
import signal

from zeekfleet.system import procfs
from zeekfleet.system.processes import ends

SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGABRT": signal.SIGABRT}
"""What such a process may be sent first; SIGABRT has it leave a core, where cores are wanted."""

KILL_PATIENCE = 5.0
"""Seconds for a process to go after SIGKILL."""


def send(pid: int, start_time: int, number: signal.Signals) -> bool:
    """Signal a process; whether it was still there.

    Args:
        pid: the process.
        start_time: tells it from a later one with its id.
        number: the signal.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if procfs.start_time(pid) != start_time:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


async def end(pid: int, start_time: int, first: signal.Signals, grace: float) -> bool:
    """Signal a process, and kill it if that does not end it; whether it has ended.

    Args:
        pid: the process.
        start_time: tells it from a later one with its id.
        first: the signal.
        grace: seconds until it is killed.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if procfs.start_time(pid) != start_time:
            return True
        for number, patience in ((first, grace), (signal.SIGKILL, KILL_PATIENCE)):
            signal.pidfd_send_signal(descriptor, number)
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)  # a stopped one would never hear of it
            if await ends(descriptor, patience):
                return True
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
    return False
