"""The policy by which a process that ended by itself is started again. It decides only; others act.

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
    """What to do after a process has ended.

    Attributes:
        delay: seconds until the next start, 0 for at once, None for never.
        failed: whether the process is in a crash loop; ``delay`` is then the slow retry's.
    """

    delay: float | None
    failed: bool = False


class RevivalHistory(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The past ends of a process, to be kept when another :class:`Revival` continues for it.

    Attributes:
        ends: when the latest ends were, on the policy's clock.
        revivals: how often it was started again since it last ran for ``stable_after``.
        failed: whether it is in a crash loop.
    """

    ends: tuple[float, ...] = ()
    revivals: int = 0
    failed: bool = False


NEVER = Decision(delay=None)

MOST_ENDS = 10_000
"""The most ends that are counted: a higher ``loop_limit`` is never reached within a window."""

MOST_REMEMBERED = 32
"""The most ends in a :class:`RevivalHistory`."""

FIRST_SHORTAGE = 0.1
LONGEST_SHORTAGE = 5.0
"""The first and the longest delay, in seconds, after a start that failed for lack of processes, files or memory."""


class Revival:
    """Decides about the revivals of one process.

    Args:
        settings: delays and limits.
        random: draws from [0, 1) for the jitter, so that processes that crashed together do not start together.
    """

    def __init__(self, settings: RevivalSettings, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        self._limit = max(0, settings.loop_limit)
        self.clear()

    def history(self) -> RevivalHistory:
        """The past ends, for :meth:`restore`."""
        return RevivalHistory(tuple(self._ends)[-MOST_REMEMBERED:], self._revivals, self._failed)

    def restore(self, history: RevivalHistory) -> None:
        """Continue from the past of another :class:`Revival` with the same clock."""
        self.clear()
        self._ends.extend(history.ends)
        self._revivals = history.revivals
        self._failed = history.failed

    def clear(self) -> None:
        """Forget all ends, for example after a requested restart."""
        self._revivals = 0
        self._shortages = 0
        self._failed = False
        self._ends: deque[float] = deque(maxlen=min(self._limit, MOST_ENDS) + 1)

    def ended(self, started_at: float, ended_at: float, was_running: bool = True) -> Decision:
        """Decide what follows an end; both times are readings of one monotonic clock, in seconds.

        A start that failed before the program ran (``was_running`` False) is never
        repeated at once: what was missing is probably still missing a moment later.
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
            return Decision(
                delay=self._with_jitter(settings.retry_delay) if settings.retry_delay > 0 else None, failed=True
            )
        return Decision(delay=self._next_delay(was_running))

    def lacked_resources(self) -> Decision:
        """Decide what follows a start that failed for lack of system resources: it is repeated, and is not a crash."""
        self._shortages += 1
        delay = FIRST_SHORTAGE * 2.0 ** min(self._shortages - 1, 16)
        return Decision(delay=self._with_jitter(min(delay, LONGEST_SHORTAGE)), failed=self._failed)

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
        return self._with_jitter(min(delay, settings.max_delay))

    def _with_jitter(self, delay: float) -> float:
        """``delay``, made longer or shorter by the jitter."""
        return max(0.0, delay * (1 + self._settings.jitter * (2 * self._random() - 1)))
