"""Removes logs from the archive that are too old or fill the disk, and unfinished files that a crash left."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec

from zeekfleet.archive.expiry import ArchivedLog, Room, too_much, too_old
from zeekfleet.archive.names import TEMPORARY_PREFIX, opening_time, parse_day


class Limits(msgspec.Struct, frozen=True):
    """How old and how large the archive may become.

    Attributes:
        days: logs that were opened more days ago are removed; 0: never.
        disk_percent: when its disk is fuller than this, the oldest logs are removed; 0: never.
    """

    days: int = 0
    disk_percent: float = 0.0


class Cleared(msgspec.Struct, frozen=True):
    """The result of a clearing.

    Attributes:
        removed: how many logs were removed.
        freed: how many bytes that freed.
        excess: by how many bytes the disk is still over its limit; 0 if it is not.
    """

    removed: int = 0
    freed: int = 0
    excess: int = 0


def days_of(logs: Path) -> Iterator[tuple[date, Path]]:
    """The archive's directories and their days; nothing if there is no archive yet."""
    try:
        entries = list(os.scandir(logs))
    except FileNotFoundError:
        return
    for entry in entries:
        day = parse_day(entry.name)
        if day is not None and entry.is_dir(follow_symlinks=False):
            yield day, Path(entry.path)


def archived_logs(logs: Path) -> Iterator[ArchivedLog]:
    """All archived logs. Files that are not named like one are skipped."""
    for day, directory in days_of(logs):
        for entry in os.scandir(directory):
            opened = opening_time(entry.name)
            if opened is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield ArchivedLog(day, opened, entry.name, status.st_blocks * 512)


def room_of(path: Path) -> Room:
    """How full the disk of this directory is."""
    status = os.statvfs(path)
    return Room((status.f_blocks - status.f_bfree) * status.f_frsize, status.f_bavail * status.f_frsize)


def clear(logs: Path, today: date, limits: Limits) -> Cleared:
    """Remove the logs that are beyond the limits.

    Raises:
        OSError: the archive cannot be read, or a log cannot be removed.
    """
    if not logs.is_dir() or not (limits.days or limits.disk_percent):
        return Cleared()
    found = sorted(archived_logs(logs))
    old = too_old(found, today, limits.days)
    _remove(logs, old)
    excess = room_of(logs).excess(limits.disk_percent) if limits.disk_percent else 0
    much = too_much(found[len(old) :], today, room_of(logs), limits.disk_percent) if excess > 0 else []
    _remove(logs, much)
    if much:
        excess = room_of(logs).excess(limits.disk_percent)
    gone = [*old, *much]
    return Cleared(len(gone), sum(log.size for log in gone), max(0, int(excess)))


def _remove(logs: Path, victims: list[ArchivedLog]) -> None:
    for victim in victims:
        (logs / victim.day.isoformat() / victim.name).unlink(missing_ok=True)
    for day in {victim.day for victim in victims}:
        with contextlib.suppress(OSError):  # it is not empty: it has other logs or files
            (logs / day.isoformat()).rmdir()


def remove_leftovers(logs: Path) -> int:
    """Remove files that an archiver left unfinished when it was killed; their number.

    Nothing is lost: the rotated log is removed from the queue only after its archived file is complete.
    """
    count = 0
    for _, directory in days_of(logs):
        for entry in os.scandir(directory):
            if entry.name.startswith(TEMPORARY_PREFIX):
                Path(entry.path).unlink(missing_ok=True)
                count += 1
    return count
