"""Timers for a loop that sleeps until the next timer is due, or for ever if there is none."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

LONGEST_WAIT = 86400.0
"""The longest sleep, in seconds, while a timer is set: system calls do not accept more than some weeks."""


class Timer:
    """One pending call. It may be cancelled at any time, even after it was made."""

    __slots__ = ("callback", "deadline")

    def __init__(self, deadline: float, callback: Callable[[], None]) -> None:
        self.deadline = deadline
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not make the call."""
        self.callback = None


class Timers:
    """A set of timers.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._sequence = itertools.count()

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in ``delay`` seconds."""
        timer = Timer(self.clock() + delay, callback)
        heapq.heappush(self._heap, (timer.deadline, next(self._sequence), timer))
        return timer

    def wait(self) -> float | None:
        """Seconds to sleep for the next timer, at least 0 and at most a day; None if there is none."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        return min(max(0.0, self._heap[0][0] - self.clock()), LONGEST_WAIT) if self._heap else None

    def run_due(self) -> None:
        """Make all calls that are due."""
        now = self.clock()
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            if (callback := timer.callback) is not None:
                timer.callback = None
                callback()
