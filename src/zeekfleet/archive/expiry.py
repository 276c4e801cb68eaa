"""Which archived logs have to go: because of their age, or because the disk is full."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec


class ArchivedLog(msgspec.Struct, frozen=True, order=True):
    """One file of the archive; sorted, the oldest comes first.

    Attributes:
        day: of its directory.
        opened: ``HH:MM:SS``.
        name: in that directory.
        size: what removing it frees, in bytes.
    """

    day: date
    opened: str
    name: str
    size: int = 0


class Room(msgspec.Struct, frozen=True):
    """How full a disk is, in bytes.

    Attributes:
        used: by anybody.
        free: for us, without what is kept for root.
    """

    used: int
    free: int

    def excess(self, percent: float) -> float:
        """How many bytes are used beyond that share; negative below it."""
        return self.used - (self.used + self.free) * percent / 100


def too_old(logs: Iterable[ArchivedLog], today: date, days: int) -> list[ArchivedLog]:
    """Those opened more than so many days ago; none if ``days`` is 0. Oldest first."""
    return sorted(log for log in logs if days and (today - log.day).days > days)


def too_much(logs: Iterable[ArchivedLog], today: date, room: Room, percent: float) -> list[ArchivedLog]:
    """The oldest ones, as many as bring the disk to at most this share; none if ``percent`` is 0.

    Today's logs stay: a disk that something else fills must not cost what is being looked at now.
    """
    excess = room.excess(percent)
    chosen: list[ArchivedLog] = []
    for log in sorted(logs) if percent else ():
        if excess <= 0 or log.day >= today:
            break
        chosen.append(log)
        excess -= log.size
    return chosen
