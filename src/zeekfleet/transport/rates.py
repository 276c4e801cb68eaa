"""Limits how often something may happen: so many times a second on average, with bursts. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rate:
    """A bucket of tokens that fills again at a steady rate.

    Args:
        per_second: how many tokens are added in a second.
        burst: the most tokens that the bucket can hold; it starts full.
        clock: monotonic, in seconds.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled = clock()

    def take(self) -> bool:
        """Take a token, if there is one. Returns whether there was."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give_back(self) -> None:
        """Put the last token back."""
        self._tokens = min(self._burst, self._tokens + 1)
