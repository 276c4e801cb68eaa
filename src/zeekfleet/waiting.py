"""Waiting for several things at once, as asyncio alone does not quite have it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class Backoff:
    """The pauses between attempts: twice as long each time, up to a cap.

    Each is a random part of that ("full jitter"), so that many who lost one peer do not come back to it all at once.

    Args:
        first: the longest first pause, in seconds.
        cap: the longest pause of all, in seconds.
        part: gives a number from 0 to 1.
    """

    def __init__(self, first: float, cap: float, part: Callable[[], float] = random.random) -> None:
        self._first = first
        self._cap = cap
        self._part = part
        self._longest = first

    def next(self) -> float:
        """The seconds to wait now."""
        longest = min(self._longest, self._cap)
        self._longest = min(2 * longest, self._cap)
        return longest * self._part()

    def reset(self) -> None:
        """An attempt has succeeded: the next pause is a first one."""
        self._longest = self._first


class Signal:
    """Tells all who wait that something has changed.

    Look at what may have changed, and then call ``next``: without an ``await`` between the two, no change is missed.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake everyone who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def next(self) -> None:
        """Wait for the next change."""
        await self._event.wait()


async def first_of(work: Awaitable[T], end: Awaitable[object]) -> T | None:
    """Wait for some work, or for the event that makes it pointless.

    The one that comes second is cancelled and has ended on return. If the caller is cancelled, so are both.

    Returns:
        The work's result; None if the other came first.

    Raises:
        Whatever the work raises, even while it is being cancelled. Else whatever the other raises.
    """
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    both = (working, ending)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        # Not awaited one by one: that would swallow our own cancellation.
        await asyncio.wait(both)
    if not ending.cancelled() and (error := ending.exception()) is not None and working.cancelled():
        raise error
    return None if working.cancelled() else working.result()


async def in_parallel(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Take all steps at once, and wait for them."""
    async with asyncio.TaskGroup() as group:
        for step in steps:
            group.create_task(step)
