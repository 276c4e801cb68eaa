"""Limits log lines about refusals, so that a peer that tries again and again does not fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

TELL_AGAIN_AFTER = 60.0
"""Seconds after which the same refusal is logged again. In between, refusals are only counted."""

REMEMBERED_MAX = 1000
"""How many different refusals are remembered; when there are more, all are forgotten."""


class Reports:
    """Decides what is logged: each refusal at once, then at most once a minute.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[Hashable, tuple[float, int]] = {}

    def line(self, key: Hashable, text: Callable[[], str]) -> str:
        """The line to log now, or ``""`` for nothing; it says how often the same was not logged since the last time.

        Args:
            key: the same for the same refusal.
            text: makes the line; called only if it is logged.
        """
        now = self._clock()
        last, untold = self._told.get(key, (None, 0))
        if last is not None and now - last < TELL_AGAIN_AFTER:
            self._told[key] = last, untold + 1
            return ""
        if len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told[key] = now, 0
        return f"{text()}; {untold} more since the last such line" if untold else text()
