"""Limits how many requests are under way at the same time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable

from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

MAX_REQUESTS = 1024
"""Requests that a daemon works on at a time."""

MAX_OF_A_CLIENT = 64
"""Requests of one class that a controller works on at a time for one connection."""

MAX_OF_A_CONTROLLER = 256
"""Requests of one class that an agent works on at a time for one connection. All clients' requests reach it over its
controller's, so this is more than :data:`MAX_OF_A_CLIENT`."""


class Admission:
    """Counts what is under way. Beyond a limit, further ones are refused, or have to wait.

    A refusal is logged once, and again only after all of them are done, so that a flood cannot fill the log.

    Args:
        limit: how many may be under way at the same time, of all peers together.
        each: how many of one kind, such as those of one peer, so that a flood of these leaves room for others.
        what: what is counted, in the plural, for the log.
        waits: whether to wait instead of refusing. This holds up later ones, too, and so their senders.
    """

    def __init__(self, limit: int, each: int, what: str, *, waits: bool = False) -> None:
        self._limit = limit
        self._each = each
        self._what = what
        self._waits = waits
        self._told = False
        self._of_kind: Counter[Hashable] = Counter()
        self._released = Signal()
        self._under_way = 0

    async def admit(self, kind: Hashable) -> bool:
        """Count one more of this kind. Returns whether there was room; if so, :meth:`release` must be called later."""
        while self._under_way >= self._limit or self._of_kind[kind] >= self._each:
            if not self._waits:
                self._tell()
                return False
            await self._released.next()
        self._under_way += 1
        self._of_kind[kind] += 1
        return True

    def release(self, kind: Hashable) -> None:
        """One of this kind is done."""
        self._under_way -= 1
        self._of_kind[kind] -= 1
        if not self._of_kind[kind]:
            del self._of_kind[kind]
        if not self._under_way:
            self._told = False
        self._released.notify()

    @property
    def problem(self) -> str:
        """The error for those that are refused."""
        return (
            f"too many {self._what} are under way: at most {self._each} of one kind and peer, and {self._limit} in all"
        )

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            logger.warning("%s; what comes beyond is refused", self.problem)
