"""How long a process that was asked to end is waited for.

Most have their grace, and are killed. A process that may have much to write when it ends
has a ceiling as well: its grace is then counted from the last sign that it still works.
"""

from __future__ import annotations

from typing import NamedTuple

LOOK_EVERY = 1.0
"""Seconds between two looks at such a process. The kernel does not tell what a process writes or computes."""

NEWS_EVERY = 3.0
"""Seconds between two words about it, at least."""

_WRITTEN = 4096
"""Bytes between two looks that are a sign of work: a few at a time wake up threads and peers."""

_BUSY = 0.05
"""The share of a CPU that is one: less is what an event loop uses that has nothing to do."""


class Work(NamedTuple):
    """What a process and its descendants have done so far: bytes written, seconds of CPU used."""

    written: int
    cpu: float


NOTHING = Work(0, 0.0)


class Stop:
    """One process that was asked to end; times are seconds on one monotonic clock.

    Args:
        now: when it was asked.
        grace: seconds without a sign of work until it is killed.
        ceiling: seconds until it is killed whatever it does; no longer than ``grace``: no sign of work counts.
        work: what it had done before.
    """

    def __init__(self, now: float, grace: float, ceiling: float, work: Work = NOTHING) -> None:
        self._began = now
        self._grace = grace
        self._ceiling = max(grace, ceiling)
        self._last_sign = now
        self._looked = now
        self._told = now
        self._before = work
        self._work = work
        self._has_worked = False

    @property
    def looks(self) -> bool:
        """Whether signs of work count."""
        return self._ceiling > self._grace

    @property
    def due(self) -> float:
        """When it is to be killed, unless it shows another sign of work."""
        return min(self._last_sign + self._grace, self._began + self._ceiling)

    @property
    def next_look(self) -> float:
        """When to look at it, or to kill it."""
        return min(self.due, self._looked + min(LOOK_EVERY, self._grace / 2)) if self.looks else self.due

    @property
    def done(self) -> Work:
        """What it has done since it was asked to end."""
        return Work(max(0, self._work.written - self._before.written), max(0.0, self._work.cpu - self._before.cpu))

    def look(self, now: float, work: Work) -> None:
        """Take note of what it has done by now."""
        written, cpu = work.written - self._work.written, work.cpu - self._work.cpu
        if written >= _WRITTEN or (cpu > 0 and cpu >= _BUSY * (now - self._looked)):
            self._last_sign = now
            self._has_worked = True
        self._looked, self._work = now, work

    def is_news(self, now: float) -> bool:
        """Whether it has worked since this was last so, and that was long enough ago to tell."""
        if not self._has_worked or now - self._told < NEWS_EVERY:
            return False
        self._has_worked = False
        self._told = now
        return True

    def elapsed(self, now: float) -> float:
        """Seconds since it was asked."""
        return now - self._began

    def hurry(self) -> None:
        """Give it no more than its grace, counted from when it was asked."""
        self._ceiling = self._grace
