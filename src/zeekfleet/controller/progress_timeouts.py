"""Time-outs for instances that begin anew whenever the instance makes progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zeekfleet.planning.deadlines import Deadline


class ProgressTimeouts:
    """The time-outs that are running, by instance."""

    def __init__(self) -> None:
        self._timeouts: dict[str, list[tuple[asyncio.Timeout, Deadline]]] = {}

    @asynccontextmanager
    async def on(self, instance: str, patience: float, limit: float) -> AsyncIterator[asyncio.Timeout]:
        """Cancel the body of the context when an instance has made no progress for too long.

        Args:
            instance: the instance's name.
            patience: how many seconds to wait without progress.
            limit: the most seconds to wait, whatever progress there is.

        Yields:
            The time-out.

        Raises:
            TimeoutError: there was no progress for too long.
        """
        deadline = Deadline(asyncio.get_running_loop().time(), min(patience, limit), limit)
        async with asyncio.timeout_at(deadline.at) as timeout:
            timeouts = self._timeouts.setdefault(instance, [])
            timeouts.append((timeout, deadline))
            try:
                yield timeout
            finally:
                timeouts.remove((timeout, deadline))
                if not timeouts:
                    self._timeouts.pop(instance, None)

    def progressed(self, instance: str) -> None:
        """An instance has made progress: its time-outs begin anew."""
        now = asyncio.get_running_loop().time()
        for timeout, deadline in self._timeouts.get(instance, ()):
            if not timeout.expired():
                timeout.reschedule(deadline.progressed(now))
