"""How much may be under way at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

logger = logging.getLogger(__name__)


class Admission:
    """Counts what is under way, and has what comes beyond a limit dropped, or wait.

    What is dropped is told once, and again only after all was done, so that a flood cannot fill the log.

    Args:
        limit: how many at a time, of all peers together.
        each: how many of one peer, so that a flood of one leaves room for others.
        what: in the plural, for the log.
        waits: whether what comes beyond waits for its turn. It then holds up what comes after it, and so its senders.
    """

    def __init__(self, limit: int, each: int, what: str, *, waits: bool = False) -> None:
        self._limit = limit
        self._each = each
        self._what = what
        self._waits = waits
        self._told = False
        self._of_peer: Counter[int] = Counter()
        self._released = asyncio.Event()
        self._under_way = 0

    async def admit(self, peer: int) -> bool:
        """Count one more of this peer's, if there is room; each admitted one needs its :meth:`release`."""
        while self._under_way >= self._limit or self._of_peer[peer] >= self._each:
            if not self._waits:
                self._drop()
                return False
            self._released.clear()
            await self._released.wait()
        self._under_way += 1
        self._of_peer[peer] += 1
        return True

    def release(self, peer: int) -> None:
        """One of this peer's is done."""
        self._under_way -= 1
        self._of_peer[peer] -= 1
        if not self._of_peer[peer]:
            del self._of_peer[peer]
        if not self._under_way:
            self._told = False
        self._released.set()

    def _drop(self) -> None:
        if not self._told:
            self._told = True
            logger.warning(
                "more than %d %s at a time, or %d of one peer: what comes beyond is dropped",
                self._limit, self._what, self._each,
            )  # fmt: skip
