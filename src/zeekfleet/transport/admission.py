"""How much of something may be under way at a time."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)


class Admission:
    """Counts what is under way, and refuses beyond a limit, so that one peer's flood leaves room for others.

    Refusals are told once, and again only after all was done, so that a flood cannot fill the log.

    Args:
        limit: how many at a time, of all peers together.
        each: how many of one peer.
        what: in the plural, for the log.
    """

    def __init__(self, limit: int, each: int, what: str) -> None:
        self._limit = limit
        self._each = each
        self._what = what
        self._told = False
        self._of_peer: Counter[int] = Counter()
        self.under_way = 0
        self.refused = 0

    def admit(self, peer: int) -> bool:
        """Count one more of this peer's, if there is room; each admitted one needs its :meth:`release`."""
        if self.under_way < self._limit and self._of_peer[peer] < self._each:
            self.under_way += 1
            self._of_peer[peer] += 1
            return True
        self.refused += 1
        if not self._told:
            self._told = True
            logger.warning(
                "more than %d %s at a time, or %d of one peer: what comes beyond is dropped",
                self._limit, self._what, self._each,
            )  # fmt: skip
        return False

    def release(self, peer: int) -> None:
        """One of this peer's is done."""
        self.under_way -= 1
        self._of_peer[peer] -= 1
        if not self._of_peer[peer]:
            del self._of_peer[peer]
        if not self.under_way:
            self._told = False
