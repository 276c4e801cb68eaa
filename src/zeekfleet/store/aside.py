"""Setting aside a database that cannot be used: it keeps all it has under another name, and makes way for an empty one.

Only what is proven damaged, foreign or newer is set aside: a file that somebody else is
writing, or that the disk does not give, only looks like it.

Hard links are made first and former names removed after them. So no name that is taken is
ever written over, and if it ends half way, the next one finds its links and goes on: file
and log never part.
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

from zeekfleet.errors import StoreCorruptError, StoreError, StoreSetAsideError, StoreVersionError
from zeekfleet.store.inspection import LOGS, inspect_copy, refuse_orphaned_log
from zeekfleet.store.schema import sync

Opened = TypeVar("Opened")
Refusal = StoreCorruptError | StoreVersionError

PARTS = ("", *LOGS, "-shm")
"""A database and what SQLite keeps beside it, the most important first."""

_LOCK_BYTES = (512, 0x40000000)
"""How many bytes, and from where on, SQLite's locks on a file are (its documented file format)."""

_NAME = re.compile(r"\.(?:damaged|newer-version-\d+)-(\d{8}T\d{6}Z)(?:\.(\d{1,9}))?(?:" + "|".join(PARTS[1:]) + ")?")


def open_or_set_aside(
    path: Path, open_store: Callable[[Path], Opened], clock: Callable[[], float] = time.time
) -> Opened:
    """What opens the store gives; a store that is damaged or newer is set aside.

    Args:
        path: the file; no other zeekfleet may use its directory meanwhile.
        open_store: opens it.
        clock: what time it is, in seconds since 1970, for the new name.

    Raises:
        StoreSetAsideError: it was damaged or newer, and is not there any more.
        StoreError: it cannot be used, and is where it was.
    """
    try:
        return open_store(path)
    except (StoreCorruptError, StoreVersionError) as refusal:
        try:
            raise _set_aside(path, refusal, clock()) from refusal
        except OSError as error:
            raise _left(refusal, error.strerror or str(error)) from error


def latest(path: Path) -> Path | None:
    """The last one that was set aside, under the name that it has without ``-wal``; None if there is none.

    Raises:
        StoreError: that cannot be seen.
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
    return path.with_name(next((name.removesuffix(part) for part in PARTS[1:] if name.endswith(part)), name))


def _set_aside(path: Path, refusal: Refusal, now: float) -> StoreError:
    """Do it; what there is to tell.

    Raises:
        OSError: it is where it was.
    """
    if path.is_symlink():
        return _left(refusal, "it is a symbolic link")
    with contextlib.ExitStack() as stack:
        try:
            content = stack.enter_context(_claimed(path))
        except FileNotFoundError:
            content = None
        except BlockingIOError:
            return _left(refusal, "another process uses it")
        try:
            if content is not None:
                inspect_copy(path, content)
            else:
                refuse_orphaned_log(path)
        except (StoreCorruptError, StoreVersionError) as proof:
            aside = _free_name(path, proof, now)
            names = _rename(path, aside)
            return StoreSetAsideError(proof.problem, path, aside, names)
        except StoreError as error:
            return _left(refusal, f"a second look failed: {error}")
    return _left(refusal, "a second look found nothing wrong")


def _left(refusal: Refusal, reason: str) -> StoreError:
    return StoreError(f"{refusal.problem}; it was left untouched, and could not be set aside: {reason}")


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[BinaryIO]:
    """The file, open; no other process can have SQLite read or write it meanwhile.

    The lock is gone when anything in this process closes the file.
    """
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_LOCK_BYTES)
        yield file


def _free_name(path: Path, proof: Refusal, now: float) -> Path:
    """A name that nobody has, with any ending; or the one that an interrupted attempt began to give."""
    begun = latest(path)
    if begun is not None and any(_are_same(source, target) for source, target in _pairs(path, begun)):
        return begun
    reason = f"newer-version-{proof.version}" if isinstance(proof, StoreVersionError) else "damaged"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    number = 1
    while True:
        aside = path.with_name(f"{path.name}.{reason}-{stamp}{f'.{number}' if number > 1 else ''}")
        if not any(os.path.lexists(target) for _, target in _pairs(path, aside)):
            return aside
        number += 1


def _rename(path: Path, aside: Path) -> list[str]:
    """Rename all that is there; the new names. On return that is on disk.

    Raises:
        OSError: something could not be renamed; nothing was removed then, or an attempt to come goes on.
    """
    pairs = [(source, target) for source, target in _pairs(path, aside) if source.exists()]
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
    return [target.name for _, target in _pairs(path, aside) if target.exists()]


def _pairs(path: Path, aside: Path) -> list[tuple[Path, Path]]:
    return [(path.with_name(path.name + part), aside.with_name(aside.name + part)) for part in PARTS]


def _are_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False
