"""Keeping those who are refused again and again from filling the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

TELL_AGAIN_AFTER = 60.0
"""Seconds after which the same is told again; meanwhile it is counted."""

REMEMBERED_MAX = 1000
"""What is remembered for that; with more, all of it is forgotten."""


class Reports:
    """Says what is to be told: each thing at once, then at most once a minute.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[Hashable, tuple[float, int]] = {}

    def due(self, key: Hashable) -> bool:
        """Whether this is to be told now."""
        now = self._clock()
        told = self._told.get(key)
        if told is not None and now - told[0] < TELL_AGAIN_AFTER:
            self._told[key] = told[0], told[1] + 1
            return False
        return True

    def line(self, key: Hashable, text: str) -> str:
        """The line to tell, with how often it was not told since the last time; to be asked when it is due."""
        _, untold = self._told.get(key, (0.0, 0))
        if len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told[key] = self._clock(), 0
        return f"{text}; {untold} more since the last such line" if untold else text
