"""Reaps the processes that a dead stem left.

When a stem is killed, its processes become children of this process, which is a subreaper. The next stem watches them,
but only their parent can reap them. With kernels before 6.15 the exit status is lost once that is done, so this process
waits until the stem has read it.

This is for daemons only. A program that uses the Python API may have children of its own, and reaps them itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from zeekfleet.system import procfs, subreaper


class Orphans:
    """Reaps inherited children. Open it in the main thread, while its event loop runs.

    Args:
        awaited: tells whether the stem has yet to read a process's exit status.
        own: tells whether a child was started by this process, which then reaps it elsewhere.
    """

    def __init__(self, awaited: Callable[[int], bool], own: Callable[[int], bool]) -> None:
        self._awaited = awaited
        self._own = own
        self._session = os.getsid(0)

    def open(self) -> None:
        """Become a subreaper, and reap at every SIGCHLD."""
        subreaper.become()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def close(self) -> None:
        """Stop reaping."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def reap(self) -> None:
        """Reap all inherited children that have ended and whose exit status is no longer needed."""
        for pid in _children():
            # Children of our own stay in our session, except stems (``own``); nodes have sessions of their own.
            session = procfs.session_of_ended(pid)
            if session not in (None, self._session) and not self._own(pid) and not self._awaited(pid):
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    continue


def _children() -> list[int]:
    """The children of all threads of this process."""
    found = []
    for thread in procfs.threads(os.getpid()):
        found += [int(pid) for pid in procfs.read(f"/proc/self/task/{thread}/children").split()]
    return found
