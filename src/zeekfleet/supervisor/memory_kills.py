"""Whether the kernel killed a process because memory ran out, for processes without a control group of their own."""

from __future__ import annotations

import os
import threading
import time

from zeekfleet.supervisor.kernel_log import killed_for_memory
from zeekfleet.system import cgroup_paths

ATTRIBUTION_WINDOW = 1.0
"""Seconds for which a rise of the kernel's counter explains the ends of killed processes."""


class MemoryKills:
    """Asks the kernel's log, which names the processes; if it cannot be read, the counter of our own control group.

    The counter does not say which process was killed. So a process that ended by SIGKILL just after the counter rose
    counts as killed for want of memory.
    """

    def __init__(self) -> None:
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._counter = cgroup_paths.memory_counter()
        self._seen = 0 if self._counter is None else cgroup_paths.memory_kills(self._counter)
        self._unexplained = 0
        self._risen_at = 0.0
        self._lock = threading.Lock()

    def killed(self, pid: int, start_time: int) -> bool:
        """Whether memory was the reason. Blocks for some milliseconds.

        Args:
            pid: a process that was killed.
            start_time: its start, in clock ticks since boot.
        """
        with self._lock:
            # Read the counter even if the log answers: a kill that the log explains must not explain another one later.
            counted = self._counted()
            told = killed_for_memory(pid, start_time / self._ticks)
            if told is not False and counted:
                self._unexplained -= 1
            return counted if told is None else told

    def _counted(self) -> bool:
        if self._counter is None:
            return False
        count, now = cgroup_paths.memory_kills(self._counter), time.monotonic()
        if count > self._seen:
            self._unexplained = count - self._seen
            self._risen_at = now
        elif now - self._risen_at > ATTRIBUTION_WINDOW:
            self._unexplained = 0
        self._seen = count
        return self._unexplained > 0
