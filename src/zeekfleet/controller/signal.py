"""A change that several wait for."""

from __future__ import annotations

import asyncio


class Signal:
    """Tells all who wait that something has changed; nobody can miss it between a look and the wait."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake everyone who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def next(self) -> None:
        """Wait for the next change."""
        await self._event.wait()
