"""Ends a process that does not respond, in a way that counts as a crash.

A restart on request resets the count of crashes. Here, the revival policy counts the end, and decides when the node is
started again, if at all.
"""

from __future__ import annotations

import os
import signal

from zeekfleet.system import procfs
from zeekfleet.system.processes import ends

SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGABRT": signal.SIGABRT}
"""Signals that such a process may be sent first. SIGABRT makes it leave a core, where cores are enabled."""

KILL_TIMEOUT = 5.0
"""Seconds that a process may take to end after SIGKILL."""


def send(pid: int, start_time: int, number: signal.Signals) -> bool:
    """Send a signal to a process; False if it has ended.

    Args:
        pid: the process.
        start_time: its start, which tells it from a later process with the same pid.
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
    """Send a signal to a process, and kill it if it does not end in time; whether it has ended.

    Args:
        pid: the process.
        start_time: its start, which tells it from a later process with the same pid.
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
        for number, timeout in ((first, grace), (signal.SIGKILL, KILL_TIMEOUT)):
            signal.pidfd_send_signal(descriptor, number)
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)  # a stopped process would not see it
            if await ends(descriptor, timeout):
                return True
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
    return False
