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

    def due(self, key: Hashable) -> bool:
        """Whether to log this now."""
        now = self._clock()
        told = self._told.get(key)
        if told is not None and now - told[0] < TELL_AGAIN_AFTER:
            self._told[key] = told[0], told[1] + 1
            return False
        return True

    def line(self, key: Hashable, text: str) -> str:
        """The line to log if it is due; it says how often the same was not logged since the last time."""
        _, untold = self._told.get(key, (0.0, 0))
        if len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told[key] = self._clock(), 0
        return f"{text}; {untold} more since the last such line" if untold else text
