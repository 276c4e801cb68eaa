"""How long to wait for a process that was told to end.

Most processes are killed after their grace. A process that may have much to write when it
ends also has a ceiling: its grace then counts from the last sign that it still works.
"""

from __future__ import annotations

from typing import NamedTuple

MEASURE_EVERY = 1.0
"""Seconds between two measurements of such a process; the kernel sends no notification of written bytes and CPU."""

REPORT_EVERY = 3.0
"""The fewest seconds between two reports that a process still works."""

_WRITTEN = 4096
"""Bytes written between two measurements that are a sign of work. An idle process writes a few to wake its threads."""

_BUSY = 0.05
"""The share of a CPU that is a sign of work. An idle event loop uses less."""


class Work(NamedTuple):
    """The work of a process and its descendants so far: bytes written, seconds of CPU used."""

    written: int
    cpu: float


NOTHING = Work(0, 0.0)


class Stop:
    """One process that was told to end; times are seconds on one monotonic clock.

    Args:
        now: when it was told to end.
        grace: after so many seconds without a sign of work it is killed.
        ceiling: after so many seconds it is killed in any case. If this is at most ``grace``, work does not count.
        work: its work before it was told to end.
    """

    def __init__(self, now: float, grace: float, ceiling: float, work: Work = NOTHING) -> None:
        self._began = now
        self._grace = grace
        self._ceiling = max(grace, ceiling)
        self._last_sign = now
        self._measured_at = now
        self._reported_at = now
        self._before = work
        self._work = work
        self._has_worked = False

    @property
    def work_counts(self) -> bool:
        """Whether signs of work renew its grace."""
        return self._ceiling > self._grace

    @property
    def due(self) -> float:
        """When to kill it, unless it shows another sign of work before."""
        return min(self._last_sign + self._grace, self._began + self._ceiling)

    @property
    def next_measurement(self) -> float:
        """When to measure its work next, or to kill it."""
        return min(self.due, self._measured_at + min(MEASURE_EVERY, self._grace / 2)) if self.work_counts else self.due

    @property
    def done(self) -> Work:
        """Its work since it was told to end."""
        return Work(max(0, self._work.written - self._before.written), max(0.0, self._work.cpu - self._before.cpu))

    def measured(self, now: float, work: Work) -> None:
        """Record a measurement of its work."""
        written, cpu = work.written - self._work.written, work.cpu - self._work.cpu
        if written >= _WRITTEN or (cpu > 0 and cpu >= _BUSY * (now - self._measured_at)):
            self._last_sign = now
            self._has_worked = True
        self._measured_at, self._work = now, work

    def take_due_report(self, now: float) -> bool:
        """Whether to report now that it still works: it has worked since the last report, which was long enough ago."""
        if not self._has_worked or now - self._reported_at < REPORT_EVERY:
            return False
        self._has_worked = False
        self._reported_at = now
        return True

    def elapsed(self, now: float) -> float:
        """Seconds since it was told to end."""
        return now - self._began

    def hurry(self) -> None:
        """Kill it when its grace is over, counted from when it was told to end, whatever work it does."""
        self._ceiling = self._grace
