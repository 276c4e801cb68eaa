"""Archives one rotated log so that a crash at any moment neither loses nor duplicates it.

The steps: write the log under a hidden name in the directory of its day; force it to disk; rename it; force the
directories to disk; remove the source from the queue.

After a crash, a hidden file can be removed, because its source is still in the queue. If the archive already has a log
of the same name and content as a source, the crash came before the last step: then only the source is removed.

Zeek renames finished logs into the queue. A file that changes while it is read is not finished, and left for later.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from zeekfleet.archive import compression
from zeekfleet.archive.compression import Compression
from zeekfleet.archive.names import RotatedLog, temporary_name

CHUNK = 256 * 1024
"""Bytes that are compressed between two checks whether to stop; this takes a few milliseconds."""

MAX_NAMESAKES = 1000
"""How many logs may have the same path, day and times."""


class Step(enum.Enum):
    """The steps, in their order; tests stop the program after each."""

    OPENED = "opened"
    DAY_MADE = "day made"
    CHUNK_WRITTEN = "chunk written"
    WRITTEN = "written"
    FORCED = "forced to disk"
    RENAMED = "renamed"
    DIRECTORY_FORCED = "directory forced to disk"
    SOURCE_REMOVED = "source removed"


class Outcome(enum.Enum):
    """The outcome of archiving a log."""

    ARCHIVED = "archived"
    WAS_ARCHIVED = "had been archived already"
    CHANGED = "changed meanwhile"
    GONE = "no longer there"
    STOPPED = "stopped"


class _NotNowError(Exception):
    """Ends an attempt early. This is not a failure."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def _never() -> bool:
    return False


def _ignore(_: Step) -> None:
    """Ignore the step."""


class ArchiveWriter:
    """Archives logs; several threads may use it.

    Args:
        queue: the directory in which rotated logs wait.
        logs: the archive; made if missing.
        form: how logs are compressed.
        stopping: called between chunks; if it returns True, the work is stopped.
        watcher: called after each step, for tests.
    """

    def __init__(
        self,
        queue: Path,
        logs: Path,
        form: Compression,
        stopping: Callable[[], bool] = _never,
        watcher: Callable[[Step], None] = _ignore,
    ) -> None:
        self._queue = queue
        self._logs = logs
        self._form = form
        self._stopping = stopping
        self._done = watcher
        self._naming = threading.Lock()

    def put(self, name: str, log: RotatedLog) -> Outcome:
        """Archive the log of this name in the queue.

        Raises:
            OSError: it failed; the source is unchanged, and no unfinished file is left.
        """
        source = self._queue / name
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return Outcome.GONE
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            if not self._queue_is_ours() and os.fstat(descriptor).st_nlink != 1:
                raise OSError(errno.EMLINK, "it has another name elsewhere, and need not be a log", str(source))
            self._done(Step.OPENED)
            try:
                return self._put(source, stream, log)
            except _NotNowError as reason:
                return reason.outcome

    def _put(self, source: Path, stream: BinaryIO, log: RotatedLog) -> Outcome:
        before = os.fstat(stream.fileno())
        day = self._day(log)
        self._done(Step.DAY_MADE)
        outcome = Outcome.WAS_ARCHIVED
        if not self._has_twin(stream, day, log):
            outcome = Outcome.ARCHIVED
            form = Compression.NONE if log.compressed else self._form
            stream.seek(0)
            if form is Compression.NONE and before.st_dev == day.stat().st_dev and self._queue_is_ours():
                self._move(source, stream, day, log)
                return outcome
            self._copy(source.name, stream, day, log, form)
        # Force the archive to disk before the source is removed, so that a power failure cannot lose both.
        _force(day)
        _force(self._logs)
        self._done(Step.DIRECTORY_FORCED)
        _remove_unless_replaced(source, before)
        self._done(Step.SOURCE_REMOVED)
        return outcome

    def _queue_is_ours(self) -> bool:
        """Whether only we can change what is in the queue. Another user, as whom nodes run, may lay links there."""
        return self._queue.stat().st_uid == os.geteuid()

    def _day(self, log: RotatedLog) -> Path:
        """The directory of its day, with the same permissions as the archive itself."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        day = self._logs / log.day
        try:
            day.mkdir(mode=0o700)
        except FileExistsError:
            return day
        day.chmod(stat.S_IMODE(self._logs.stat().st_mode))
        return day

    def _copy(self, name: str, stream: BinaryIO, day: Path, log: RotatedLog, form: Compression) -> None:
        temporary = day / temporary_name(name)
        before = os.fstat(stream.fileno())
        try:
            self._write(stream, temporary, form, before)
            with self._naming:
                temporary.rename(_free_name(day, log, form))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._done(Step.RENAMED)

    def _write(self, stream: BinaryIO, temporary: Path, form: Compression, source: os.stat_result) -> None:
        # A file that has this name already was left by a crash.
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            with contextlib.closing(compression.writer(form, target)) as sink:
                rest = source.st_size  # read no further: if something appends to the log, this would not end
                while rest > 0 and (chunk := stream.read(min(CHUNK, rest))):
                    if self._stopping():
                        raise _NotNowError(Outcome.STOPPED)
                    sink.write(chunk)
                    rest -= len(chunk)
                    self._done(Step.CHUNK_WRITTEN)
            if _identity(os.fstat(stream.fileno())) != _identity(source):
                raise _NotNowError(Outcome.CHANGED)
            target.flush()
            self._done(Step.WRITTEN)
            most = 0o666 if self._queue_is_ours() else 0o644
            os.fchmod(descriptor, stat.S_IMODE(source.st_mode) & most)
            os.utime(descriptor, ns=(source.st_atime_ns, source.st_mtime_ns))
            os.fsync(descriptor)
        self._done(Step.FORCED)

    def _move(self, source: Path, stream: BinaryIO, day: Path, log: RotatedLog) -> None:
        """Rename the log into the archive: possible in the same file system, if it need not be compressed."""
        os.fsync(stream.fileno())
        self._done(Step.FORCED)
        with self._naming:
            source.rename(_free_name(day, log, Compression.NONE))
        self._done(Step.RENAMED)
        _force(day)
        _force(self._logs)
        _force(self._queue)
        self._done(Step.DIRECTORY_FORCED)

    def _has_twin(self, stream: BinaryIO, day: Path, log: RotatedLog) -> bool:
        """Whether the archive already has a log of this name and content, with any compression."""
        for number in range(1, MAX_NAMESAKES + 1):
            namesakes = list(_namesakes(day, log, number))
            if not namesakes:
                return False
            if any(self._same_content(stream, path, form) for path, form in namesakes):
                return True
        return False

    def _same_content(self, stream: BinaryIO, path: Path, form: Compression) -> bool:
        stream.seek(0)
        with path.open("rb") as file:
            archived = compression.reader(form, file)
            if archived is None:
                return False
            try:
                while chunk := stream.read(CHUNK):
                    if self._stopping():
                        raise _NotNowError(Outcome.STOPPED)
                    if _read(archived, len(chunk)) != chunk:
                        return False
                return not archived.read(1)
            except compression.damage():
                return False


def _namesakes(day: Path, log: RotatedLog, number: int) -> Iterator[tuple[Path, Compression]]:
    """The archived files of this name and number, with any compression."""
    for form in Compression:
        path = day / (log.archived_name(number) + form.suffix)
        if os.path.lexists(path):
            yield path, form


def _free_name(day: Path, log: RotatedLog, form: Compression) -> Path:
    """The first free name of this log. The caller holds the lock until the name is used."""
    for number in range(1, MAX_NAMESAKES + 1):
        if not any(_namesakes(day, log, number)):
            return day / (log.archived_name(number) + form.suffix)
    raise OSError(errno.EEXIST, "too many logs of the same name", str(day / log.archived_name()))


def _read(stream: BinaryIO, count: int) -> bytes:
    """Read exactly ``count`` bytes, or fewer at the end."""
    parts = []
    while count and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _remove_unless_replaced(source: Path, archived: os.stat_result) -> None:
    """Remove the source, unless another log has taken its name in the queue meanwhile: that is not archived yet."""
    with contextlib.suppress(FileNotFoundError):
        if _identity(os.lstat(source)) == _identity(archived):
            source.unlink()


def _force(directory: Path) -> None:
    """Force a directory's entries to disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
