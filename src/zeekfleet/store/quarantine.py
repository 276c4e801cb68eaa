"""Quarantine: a database that cannot be used is renamed, with all files beside it, to make way for an empty one.

Only a database that is proven to be damaged, foreign or newer is renamed. One that another process is writing, or that
the disk fails to read, merely looks damaged, and is left alone.

Files are renamed by making a hard link with the new name, then removing the old name. So no existing file is ever
overwritten. If the process ends in between, the next one finds the links and goes on: the file and its log stay
together.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from zeekfleet.errors import StoreCorruptError, StoreError, StoreQuarantinedError, StoreVersionError
from zeekfleet.store.inspection import LOGS, inspect_copy, refuse_orphaned_log
from zeekfleet.store.schema import sync

Opened = TypeVar("Opened")
Unusable = StoreCorruptError | StoreVersionError

SUFFIXES = ("", *LOGS, "-shm")
"""The suffixes of a database's name and of the names that SQLite keeps beside it, the most important first."""

_LOCK_BYTES = (512, 0x40000000)
"""The length and the offset of the bytes that SQLite locks in a file (from its documented file format)."""

_NAME = re.compile(r"\.(?:damaged|newer-version-\d+)-(\d{8}T\d{6}Z)(?:\.(\d{1,9}))?(?:" + "|".join(SUFFIXES[1:]) + ")?")


def open_or_quarantine(
    path: Path, open_store: Callable[[Path], Opened], clock: Callable[[], float] = time.time
) -> Opened:
    """Open a store; put one that is damaged or newer into quarantine.

    Args:
        path: the file; no other zeekfleet may use its directory meanwhile.
        open_store: opens it.
        clock: the time in seconds since 1970, for the new name.

    Returns:
        What ``open_store`` returned.

    Raises:
        StoreQuarantinedError: it was damaged or newer, and has been renamed.
        StoreError: it cannot be used, and was left where it is.
    """
    try:
        return open_store(path)
    except (StoreCorruptError, StoreVersionError) as found:
        try:
            raise _quarantine(path, found, clock()) from found
        except OSError as error:
            raise _left_alone(found, error.strerror or str(error)) from error


def latest(path: Path) -> Path | None:
    """The database that was put into quarantine last, by its name without ``-wal``; None if there is none.

    Raises:
        StoreError: the directory cannot be read.
    """
    try:
        found = [
            (match[1], int(match[2] or 1), entry.name)
            for entry in path.parent.iterdir()
            if entry.name.startswith(path.name) and (match := _NAME.fullmatch(entry.name, len(path.name)))
        ]
    except OSError as error:
        raise StoreError(f"directory {path.parent} cannot be read: {error.strerror}") from error
    if not found:
        return None
    name = max(found)[2]
    return path.with_name(next((name.removesuffix(end) for end in SUFFIXES[1:] if name.endswith(end)), name))


def _quarantine(path: Path, found: Unusable, now: float) -> StoreError:
    """Check once more, with the file locked, and rename it if it is still unusable. Returns the error to raise.

    Raises:
        OSError: it could not be renamed, and is where it was.
    """
    with contextlib.ExitStack() as stack:
        try:
            content = stack.enter_context(_locked(path))
        except FileNotFoundError:
            content = None
        except BlockingIOError:
            return _left_alone(found, "another process uses it")
        try:
            if content is not None:
                inspect_copy(path, content)
            else:
                refuse_orphaned_log(path)
        except (StoreCorruptError, StoreVersionError) as proof:
            quarantine = _new_name(path, proof, now)
            names = _rename(path, quarantine)
            return StoreQuarantinedError(proof.problem, path, quarantine, names)
        except StoreError as error:
            return _left_alone(found, f"a second look failed: {error}")
    return _left_alone(found, "a second look found nothing wrong")


def _left_alone(found: Unusable, reason: str) -> StoreError:
    return StoreError(f"{found.problem}; it was left untouched, and could not be set aside: {reason}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open the file, and keep SQLite in other processes from reading or writing it meanwhile.

    The kernel drops the lock as soon as anything in this process closes the file.
    """
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_LOCK_BYTES)
        yield file


def _new_name(path: Path, proof: Unusable, now: float) -> Path:
    """A name that no file has, with any suffix; or the one that an interrupted attempt has begun to use."""
    begun = latest(path)
    if begun is not None and any(_are_same(source, target) for source, target in _pairs(path, begun)):
        return begun
    reason = f"newer-version-{proof.version}" if isinstance(proof, StoreVersionError) else "damaged"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    number = 1
    while True:
        name = path.with_name(f"{path.name}.{reason}-{stamp}{f'.{number}' if number > 1 else ''}")
        if not any(os.path.lexists(target) for _, target in _pairs(path, name)):
            return name
        number += 1


def _rename(path: Path, new_path: Path) -> list[str]:
    """Rename the file and those beside it; the new names. They are durable on return.

    Raises:
        OSError: something could not be renamed. Either nothing was removed, or the next attempt goes on from here.
    """
    pairs = [(source, target) for source, target in _pairs(path, new_path) if source.exists()]
    made: list[Path] = []
    try:
        for source, target in pairs:
            if not _are_same(source, target):
                os.link(source, target)
                made.append(target)
        sync(path.parent)
    except OSError:
        for target in made:
            target.unlink(missing_ok=True)
        raise
    for source, _ in pairs:
        source.unlink()
    sync(path.parent)
    return [target.name for _, target in _pairs(path, new_path) if target.exists()]


def _pairs(path: Path, new_path: Path) -> list[tuple[Path, Path]]:
    """The present and the new path of the database and of each file beside it, whether they exist or not."""
    return [(path.with_name(path.name + end), new_path.with_name(new_path.name + end)) for end in SUFFIXES]


def _are_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False
