"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from zeekfleet.waiting import Signal


class ManualClock:
    """Stands in for ``time.monotonic`` when it is called, and with :meth:`sleep` for ``asyncio.sleep``; in seconds.

    Args:
        now: where it starts.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._fell_asleep = Signal()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; everyone whose time has come wakes up, in order.

        Raises:
            ValueError: the clock is monotonic.
        """
        if seconds < 0:
            raise ValueError("a monotonic clock does not go back")
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by so much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), sleeper))
        self._fell_asleep.notify()
        await sleeper

    async def until_asleep(self, count: int = 1) -> None:
        """Wait until at least so many sleep, so that :meth:`advance` can wake them."""
        while sum(not sleeper.done() for _, _, sleeper in self._sleepers) < count:
            await self._fell_asleep.next()
