"""Rotates a file while a process appends to it. The process takes no part, and keeps its descriptor.

The head of ``stdout`` is copied to ``stdout.1``, and the former ``stdout.1`` becomes ``stdout.2``. Then the head is
removed from ``stdout``. Where the file system can do that (ext4, XFS), it is collapsed: the file then begins with the
bytes that followed. Elsewhere a hole is punched: the head then reads as NULs and takes no room on the disk. Together,
the files have every byte that was written exactly once. They are cut at block boundaries, so a line may begin in one
file and end in the next.

The name of the copy tells how far a rotation has come, so that a later process can finish it:

    stdout.<inode>-<start>-<end>.copying   the head is being copied; the file is unchanged
    stdout.<inode>-<start>-<end>.copied    the copy is complete and on disk; the hole is not punched yet
    stdout.<inode>-<start>-<end>.freed     the hole is punched; the head may or may not be collapsed
    stdout.1                               done
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG

import msgspec

from zeekfleet.system import holes

TAIL_KEPT = 1024 * 1024
"""Bytes that stay in the file, but no more than half of its limit: the report of an end shows the last lines."""

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
    """The head to remove so that the file is within its limit again; None if it is, or is no regular file.

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
    end = (status.st_size - min(TAIL_KEPT, limit // 2)) // holes.ALIGNMENT * holes.ALIGNMENT
    return Part(status.st_ino, start, end) if status.st_size - start > limit and end > start else None


class Rotation:
    """Rotates one file. Each method raises OSError if it cannot do its work; no output is lost then.

    Args:
        path: the file.
        kept: how many rotated files are kept; 0: the head is dropped.
    """

    def __init__(self, path: Path, kept: int) -> None:
        self._path = path
        self._kept = kept

    def can(self) -> bool:
        """Whether the file system can at least punch holes."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return holes.can_punch(descriptor)
        finally:
            os.close(descriptor)

    def rotate(self, part: Part) -> int:
        """Rotate a head that :func:`excess` found.

        Returns:
            By how many bytes the file became shorter; 0 if the head was punched and is now a hole.
        """
        self._copy(part)
        return self._remove_head(part, COPIED)

    def recover(self) -> int:
        """Finish rotations that an earlier process began; returns the same as :meth:`rotate`."""
        taken = 0
        for part, step in self._begun():
            if step == COPYING:
                self._step(part, step).unlink(missing_ok=True)
            else:
                taken += self._remove_head(part, step)
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
            copy.unlink(missing_ok=True)  # a partial copy may take the last room on the disk
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

    def _remove_head(self, part: Part, step: str) -> int:
        taken = 0
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            # If another file has this name by now, leave it as it is.
            if os.fstat(descriptor).st_ino == part.inode:
                if step == COPIED:
                    holes.punch(descriptor, part.start, part.end)
                    self._rename(self._step(part, COPIED), self._step(part, FREED))
                taken = self._collapse(descriptor, part)
                step = FREED
        finally:
            os.close(descriptor)
        self._shift(self._step(part, step))
        return taken

    def _collapse(self, descriptor: int, part: Part) -> int:
        """Collapse a head whose hole is punched, if the file system can and it was not done before."""
        if holes.first_data(descriptor) < part.end:
            return 0  # data instead of a hole: it was collapsed before
        try:
            holes.collapse(descriptor, part.end)
        except OSError:
            return 0  # not supported here: the hole stays
        return part.end

    def _shift(self, done: Path) -> None:
        """Make the copy number 1. Numbers move up to the first gap, which an interrupted shift may have left."""
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
        """Rename, and force the rename to disk before the next step."""
        old.replace(new)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _escaped(name: str) -> str:
    """The name as a glob that matches only this name."""
    return re.sub(r"([*?\[])", r"[\1]", name)
