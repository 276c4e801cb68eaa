"""Limits how often something may happen: so many times a second on average, with bursts. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


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


class Rates:
    """The same rate for each of many, which are told apart by a key.

    Args:
        per_second: as of :class:`Rate`.
        burst: as of :class:`Rate`.
        most: how many are remembered; when there are more, all begin anew.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, per_second: float, burst: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._clock = clock
        self._rates: dict[Hashable, Rate] = {}

    def take(self, key: Hashable) -> bool:
        """Whether it may happen once more now for this key; if it may, it counts."""
        rate = self._rates.get(key)
        if rate is None:
            if len(self._rates) >= self._most:
                self._rates.clear()
            rate = self._rates[key] = Rate(self._per_second, self._burst, self._clock)
        return rate.take()
