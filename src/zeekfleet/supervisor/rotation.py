"""Bounds a file that a process appends to, without that process: its head is moved to another file.

``stdout`` that has grown too large becomes ``stdout.1`` and what is left in ``stdout``; the
former ``stdout.1`` becomes ``stdout.2``. The process goes on with the descriptor that it has.
The head is copied, and then given back: taken out where the file system can do that (ext4,
XFS), so that the file begins with what came after it, else freed, so that it reads as NULs
and takes no room. One after the other, the files hold every byte that was written, once:
they are cut at whole blocks, so a line may begin in one file and end in the next.

Each step leaves a name from which the next one, or a later process, can go on:

    stdout.<inode>-<start>-<end>.copying   the head is being copied, and nothing has happened to it yet
    stdout.<inode>-<start>-<end>.copied    the copy is whole and on disk, the head is to be freed
    stdout.<inode>-<start>-<end>.freed     the head is freed, and taken out or not
    stdout.1                               it is done
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG

import msgspec

from zeekfleet.system import holes

LEFT = 1024 * 1024
"""Bytes that stay in the file at least, and no more than half of the limit: what a report of an end looks at."""

_MODE = 0o600
_CHUNK = 1024 * 1024
COPYING, COPIED, FREED = "copying", "copied", "freed"
_STEP = re.compile(r"\.(?P<inode>\d+)-(?P<start>\d+)-(?P<end>\d+)\.(?P<step>copying|copied|freed)")


class Part(msgspec.Struct, frozen=True):
    """A part of a file, from ``start`` to ``end``, in bytes; ``inode`` tells which file that is."""

    inode: int
    start: int
    end: int


def excess(path: Path, limit: int) -> Part | None:
    """What has to leave the file so that it is within its limit again; None if it is, or is no regular file.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode) or status.st_size <= limit:
            return None
        start = holes.first_data(descriptor)
    finally:
        os.close(descriptor)
    end = (status.st_size - min(LEFT, limit // 2)) // holes.ALIGNMENT * holes.ALIGNMENT
    return Part(status.st_ino, start, end) if status.st_size - start > limit and end > start else None


class Rotation:
    """The rotations of one file; each raises OSError if it cannot be done, and nothing is lost then.

    Args:
        path: the file.
        kept: how many rotated files are kept; 0: what leaves the file is lost.
    """

    def __init__(self, path: Path, kept: int) -> None:
        self._path = path
        self._kept = kept

    def can(self) -> bool:
        """Whether the file system can do any of it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return holes.can_punch(descriptor)
        finally:
            os.close(descriptor)

    def rotate(self, part: Part) -> int:
        """Move a part that begins where data begins; how many bytes have been taken out of the file's beginning."""
        self._copy(part)
        return self._give_back(part, COPIED)

    def recover(self) -> int:
        """Go on with what an earlier process has begun; returns as :meth:`rotate`."""
        taken = 0
        for part, step in self._begun():
            if step == COPYING:
                self._step(part, step).unlink(missing_ok=True)
            else:
                taken += self._give_back(part, step)
        return taken

    # --- steps

    def _copy(self, part: Part) -> None:
        copy = self._step(part, COPYING)
        try:
            if self._kept:
                self._copy_to(copy, part)
            else:
                os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE))
            self._rename(copy, self._step(part, COPIED))
        except OSError:
            copy.unlink(missing_ok=True)  # it may hold what room there is
            raise

    def _copy_to(self, copy: Path, part: Part) -> None:
        source = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
            try:
                offset = part.start
                while offset < part.end:
                    sent = os.sendfile(target, source, offset, min(_CHUNK, part.end - offset))
                    if not sent:
                        raise OSError(0, "it has become shorter", str(self._path))
                    offset += sent
                os.fsync(target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _give_back(self, part: Part, step: str) -> int:
        taken = 0
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            # Another file in this place has nothing to give.
            if os.fstat(descriptor).st_ino == part.inode:
                if step == COPIED:
                    holes.punch(descriptor, part.start, part.end)
                    self._rename(self._step(part, COPIED), self._step(part, FREED))
                taken = self._take_out(descriptor, part)
                step = FREED
        finally:
            os.close(descriptor)
        self._shift(self._step(part, step))
        return taken

    def _take_out(self, descriptor: int, part: Part) -> int:
        """Take a head out that has been freed, if that is possible and has not been done yet."""
        if holes.first_data(descriptor) < part.end:
            return 0  # there is data: it has been taken out
        try:
            holes.collapse(descriptor, part.end)
        except OSError:
            return 0  # it stays a hole
        return part.end

    def _shift(self, done: Path) -> None:
        """Make it the first of the rotated files; a gap is filled, such as an earlier process may have left."""
        gap = next((number for number in range(1, self._kept) if not self._numbered(number).exists()), self._kept)
        for number in range(gap, 1, -1):
            self._numbered(number - 1).replace(self._numbered(number))
        if self._kept:
            self._rename(done, self._numbered(1))
        else:
            done.unlink()

    # --- names

    def _begun(self) -> Iterator[tuple[Part, str]]:
        for entry in sorted(self._path.parent.glob(f"{_escaped(self._path.name)}.*-*-*.*")):
            if (found := _STEP.fullmatch(entry.name.removeprefix(self._path.name))) is not None:
                yield Part(int(found["inode"]), int(found["start"]), int(found["end"])), found["step"]

    def _step(self, part: Part, step: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{part.inode}-{part.start}-{part.end}.{step}")

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _rename(self, old: Path, new: Path) -> None:
        """Rename, and have it on disk before anything that follows."""
        old.replace(new)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _escaped(name: str) -> str:
    """A name as a pattern that matches itself."""
    return re.sub(r"([*?\[])", r"[\1]", name)
