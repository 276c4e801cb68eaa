"""Waiting for a condition: for the news that may bring it about, or, where nobody tells, by looking again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from zeekfleet.waiting import Signal

Found = TypeVar("Found")

PATIENCE = 60.0
"""Seconds that anything may take on a busy machine before a test gives up."""

PAUSE = 0.01
"""Seconds between two looks."""


class News(Signal):
    """Notified of whatever may bring a condition about."""

    async def until(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Look at the condition whenever there is news, until it holds."""
        async with asyncio.timeout(timeout):
            while not condition():
                await self.next()


def until(condition: Callable[[], Found], what: str = "the condition holds", timeout: float = PATIENCE) -> Found:
    """For what nobody tells, such as files and other programs: look again and again; what the condition gave at last.

    Args:
        condition: holds if it gives something true.
        what: in words, for the failure.
        timeout: seconds after which the test fails.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still not so after {timeout:g} s: {what}"
        time.sleep(PAUSE)
    return found


async def async_until(
    condition: Callable[[], Found], what: str = "the condition holds", timeout: float = PATIENCE
) -> Found:
    """As :func:`until`, while other tasks go on."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still not so after {timeout:g} s: {what}"
        await asyncio.sleep(PAUSE)
    return found
