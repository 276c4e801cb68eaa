"""Limits log lines about refusals, so that a peer that tries again and again does not fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

TELL_AGAIN_AFTER = 60.0
"""Seconds after which the same refusal is logged again. In between, refusals are only counted."""

REMEMBERED_MAX = 1000
"""How many different refusals are remembered; when there are more, all are forgotten."""


class Reports:
    """Decides what is logged: the first refusals of a minute at once, and the others are counted.

    Args:
        clock: monotonic, in seconds.
        burst: how many of the same are logged in a minute.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, burst: int = 1) -> None:
        self._clock = clock
        self._burst = burst
        self._told: dict[Hashable, tuple[float, int]] = {}

    def line(self, key: Hashable, text: Callable[[], str]) -> str:
        """The line to log now, or ``""`` for nothing; it says how often the same was not logged since the last time.

        Args:
            key: the same for the same refusal.
            text: makes the line; called only if it is logged.
        """
        now = self._clock()
        since, count = self._told.get(key, (now, 0))
        untold = 0
        if now - since >= TELL_AGAIN_AFTER:
            since, count, untold = now, 0, max(0, count - self._burst)
        if not count and len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told[key] = since, count + 1
        if count >= self._burst:
            return ""
        return f"{text()}; {untold} more since the last such line" if untold else text()
