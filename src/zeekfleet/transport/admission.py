"""How much of something may be under way at a time."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Admission:
    """Counts what is under way, and refuses beyond a limit.

    Refusals are told once, and again only after all was done, so that a flood cannot fill the log.

    Args:
        limit: how many at a time.
        what: in the plural, for the log.
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._told = False
        self.under_way = 0
        self.refused = 0

    def admit(self) -> bool:
        """Count one more, if there is room; each admitted one needs its :meth:`release`."""
        if self.under_way < self._limit:
            self.under_way += 1
            return True
        self.refused += 1
        if not self._told:
            self._told = True
            logger.warning("more than %d %s at a time; what comes beyond is dropped", self._limit, self._what)
        return False

    def release(self) -> None:
        """One is done."""
        self.under_way -= 1
        if not self.under_way:
            self._told = False
