"""Whether a process that was killed was killed for want of memory, where it has no control group of its own."""

from __future__ import annotations

import os
import threading
import time

from zeekfleet.supervisor.kernel_log import killed_for_memory
from zeekfleet.system import cgroup_paths

TOGETHER = 1.0
"""Seconds within which several kills are told one after the other: they may have come together."""


class MemoryKills:
    """Asks the kernel's log, which names processes; or else the group that all of us are in, which only counts.

    A count cannot tell who was killed: who ends by a kill when it has just risen, is taken for one of them.
    """

    def __init__(self) -> None:
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._counter = cgroup_paths.memory_counter()
        self._seen = 0 if self._counter is None else cgroup_paths.memory_kills(self._counter)
        self._untold = 0
        self._risen_at = 0.0
        self._lock = threading.Lock()

    def killed(self, pid: int, start_time: int) -> bool:
        """Whether memory was the reason; blocks for some milliseconds.

        Args:
            pid: a process that was killed.
            start_time: its start, in clock ticks since boot.
        """
        with self._lock:
            # Looked at in any case, so that what the log has told is not told of another one later.
            counted = self._counted()
            told = killed_for_memory(pid, start_time / self._ticks)
            if told is not False and counted:
                self._untold -= 1
            return counted if told is None else told

    def _counted(self) -> bool:
        if self._counter is None:
            return False
        count, now = cgroup_paths.memory_kills(self._counter), time.monotonic()
        if count > self._seen:
            self._untold = count - self._seen
            self._risen_at = now
        elif now - self._risen_at > TOGETHER:
            self._untold = 0
        self._seen = count
        return self._untold > 0
