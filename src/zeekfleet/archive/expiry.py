"""Decides which archived logs are removed, by age or because the disk is full. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec


class ArchivedLog(msgspec.Struct, frozen=True, order=True):
    """One file of the archive. Older files sort first.

    Attributes:
        day: the day of its directory.
        opened: when the log was opened, as ``HH:MM:SS``.
        name: the name of the file.
        size: the bytes that removing it frees.
    """

    day: date
    opened: str
    name: str
    size: int = 0


class Room(msgspec.Struct, frozen=True):
    """How full a disk is, in bytes.

    Attributes:
        used: what all files take.
        free: what we may still use, without the part reserved for root.
    """

    used: int
    free: int

    def excess(self, percent: float) -> float:
        """By how many bytes the disk is fuller than this share; negative if it is less full."""
        return self.used - (self.used + self.free) * percent / 100


def too_old(logs: Iterable[ArchivedLog], today: date, days: int) -> list[ArchivedLog]:
    """The logs that were opened more than ``days`` days ago, oldest first; none if ``days`` is 0."""
    return sorted(log for log in logs if days and (today - log.day).days > days)


def too_much(logs: Iterable[ArchivedLog], today: date, room: Room, percent: float) -> list[ArchivedLog]:
    """The oldest logs, as many as must be removed until the disk is at most ``percent`` full; none if that is 0.

    Today's logs are never removed: if something else fills the disk, the logs in use must not be lost for it.
    """
    excess = room.excess(percent)
    chosen: list[ArchivedLog] = []
    for log in sorted(logs) if percent else ():
        if excess <= 0 or log.day >= today:
            break
        chosen.append(log)
        excess -= log.size
    return chosen
