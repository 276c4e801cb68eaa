"""How a process that ended by itself comes back: a policy that decides, and does nothing.

::

    end 1 ── at once ── end 2 ── initial_delay ── end 3 ── x factor ── … up to max_delay
      ▲                                                          │
      └──── stable_after seconds of life clear everything        │ more than loop_limit ends
                                                                 ▼ within loop_window
                                                     failed: every retry_delay, or never
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from zeekfleet.model.launch import RevivalSettings


class Decision(msgspec.Struct, frozen=True):
    """What to do about one end.

    Attributes:
        delay: seconds until the next start, 0 for at once, None for never.
        failed: the process is in a crash loop, and the delay that of a slow retry.
    """

    delay: float | None
    failed: bool = False


class Memory(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the policy must know of the past, for who goes on with it.

    Attributes:
        ends: when the latest ends were, on the policy's clock.
        revivals: how many there have been since all was well.
        failed: a crash loop was found.
    """

    ends: tuple[float, ...] = ()
    revivals: int = 0
    failed: bool = False


NEVER = Decision(delay=None)

MOST_ENDS = 10_000
"""A limit beyond that many ends within the window is never reached."""

MOST_REMEMBERED = 32
"""Ends in a :class:`Memory`: who goes on counts no more of them."""

FIRST_SHORTAGE = 0.1
LONGEST_SHORTAGE = 5.0
"""Seconds until a start is tried again that failed because the system was short of something, at first and at most."""


class Revival:
    """The revivals of one process.

    Args:
        settings: the policy's numbers.
        random: draws from [0, 1); spreads the delays, so that what crashed together does not return together.
    """

    def __init__(self, settings: RevivalSettings, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        self._limit = max(0, settings.loop_limit)
        self.clear()

    def memory(self) -> Memory:
        """What to recall."""
        return Memory(tuple(self._ends)[-MOST_REMEMBERED:], self._revivals, self._failed)

    def recall(self, memory: Memory) -> None:
        """Go on where another one, with the same clock, has ended."""
        self.clear()
        self._ends.extend(memory.ends)
        self._revivals = memory.revivals
        self._failed = memory.failed

    def clear(self) -> None:
        """Forget all ends, as after a restart on request."""
        self._revivals = 0
        self._shortages = 0
        self._failed = False
        self._ends: deque[float] = deque(maxlen=min(self._limit, MOST_ENDS) + 1)

    def ended(self, started_at: float, ended_at: float, was_running: bool = True) -> Decision:
        """Decide about one end; both times are readings of one monotonic clock, in seconds.

        A start that failed before the program ran (``was_running`` False) is never
        tried again at once: what was missing will hardly be there a moment later.
        """
        settings = self._settings
        self._shortages = 0
        if was_running and ended_at - started_at >= settings.stable_after:
            self.clear()
        self._ends.append(ended_at)
        if not settings.enabled:
            return Decision(delay=None, failed=not was_running)
        if self._is_loop(ended_at):
            self._failed = True
        if self._failed:
            return Decision(delay=self._spread(settings.retry_delay) if settings.retry_delay > 0 else None, failed=True)
        return Decision(delay=self._next_delay(was_running))

    def was_short(self) -> Decision:
        """Decide about a start that the system could not afford: tried for ever, and never held against the process."""
        self._shortages += 1
        delay = FIRST_SHORTAGE * 2.0 ** min(self._shortages - 1, 16)
        return Decision(delay=self._spread(min(delay, LONGEST_SHORTAGE)), failed=self._failed)

    def _is_loop(self, now: float) -> bool:
        limit = self._limit
        return len(self._ends) > limit and now - self._ends[-limit - 1] <= self._settings.loop_window

    def _next_delay(self, was_running: bool) -> float:
        if not was_running and self._revivals == 0:
            self._revivals = 1
        revivals, self._revivals = self._revivals, self._revivals + 1
        if revivals == 0:
            return 0.0
        settings = self._settings
        try:
            delay = settings.initial_delay * settings.factor ** (revivals - 1)
        except OverflowError:
            delay = settings.max_delay
        return self._spread(min(delay, settings.max_delay))

    def _spread(self, delay: float) -> float:
        """``delay`` with jitter to both sides."""
        return max(0.0, delay * (1 + self._settings.jitter * (2 * self._random() - 1)))
