"""This process as the parent of what a dead stem leaves: told of every end, and reaping it.

As a subreaper it inherits the processes of a stem that was killed. The next stem
watches them, but only a parent can reap them; kernels before 6.15 tell the exit status
to nobody else once that is done, so a node waits here until the stem has read it.

For daemons only: a process that uses the Python API reaps what it likes.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable

from zeekfleet.system import procfs

_PR_SET_CHILD_SUBREAPER = 36


class Orphans:
    """Reaps what it inherits; to be opened within the loop of the main thread.

    Args:
        awaited: tells whether somebody still has to read a process's exit status.
        own: tells whether a child has been started from here, and is waited for elsewhere.
    """

    def __init__(self, awaited: Callable[[int], bool], own: Callable[[int], bool]) -> None:
        self._awaited = awaited
        self._own = own
        self._session = os.getsid(0)

    def open(self) -> None:
        """Begin to inherit."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def close(self) -> None:
        """Reap no more."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def reap(self) -> None:
        """Reap what has ended and nobody waits for."""
        for pid in _children():
            # What is started from here stays in our session, but for stems; nodes have sessions of their own.
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
