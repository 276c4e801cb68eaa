"""A file to which whole lines are appended. Lines that are written together are all in the file, or none of them.

Nothing is forced to disk: the file is for the next process, and need not survive a power failure.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from zeekfleet.system.files import open_own, remove

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT


class LineFile:
    """One such file, with mode 0600. It is opened when it is first needed.

    Args:
        path: its path.
        log: called with one line about each failure. Only reading raises.

    Attributes:
        size: its size in bytes, once it is open.
    """

    def __init__(self, path: Path, log: Callable[[str], None]) -> None:
        self.size = 0
        self._path = path
        self._log = log
        self._descriptor = -1

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._descriptor >= 0

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line that is not empty, with the offset at which it begins. Call this before anything is appended.

        Raises:
            OSError: the file cannot be read.
        """
        if not self._open():
            return
        offset = 0
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            for line in file:
                if text := line.rstrip(b"\n"):
                    yield offset, text
                if not line.endswith(b"\n"):
                    self._terminate(offset)
                offset += len(line)

    def read(self, offset: int, length: int) -> bytes:
        """Read a part of the file.

        Raises:
            OSError: it cannot be read.
        """
        return os.pread(self._descriptor, length, offset)

    def append(self, content: bytes) -> bool:
        """Append whole lines, all or none of them; False if that failed."""
        if not self._open():
            return False
        try:
            if os.write(self._descriptor, content) == len(content):
                self.size += len(content)
                return True
            reason = "the disk is full"
            os.ftruncate(self._descriptor, self.size)
        except OSError as error:
            reason = error.strerror or str(error)
        self._log(f"cannot write {self._path}: {reason}")
        return False

    def replace(self, pieces: Iterable[bytes]) -> bool:
        """Replace the file by one with this content; False if that failed."""
        temporary = self._path.with_name(f"{self._path.name}.new")
        new = -1
        try:
            new = open_own(temporary, _FLAGS | os.O_TRUNC)
            size = 0
            with os.fdopen(os.dup(new), "wb") as file:
                for piece in pieces:
                    size += file.write(piece)
            temporary.replace(self._path)
        except OSError as error:
            self._log(f"cannot write {self._path}: {error.strerror}")
            if new >= 0:
                os.close(new)
                with contextlib.suppress(OSError):  # the disk may have become read-only
                    temporary.unlink()  # a partial file may take the last room on the disk
            return False
        self.close()
        self._descriptor, self.size = new, size
        return True

    def clear(self) -> bool:
        """Remove all lines; False if that failed."""
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            self._log(f"cannot write {self._path}: {error.strerror}")
            return False
        self.size = 0
        return True

    def close(self) -> None:
        """Close the file. It is opened again when it is needed."""
        if self.is_open:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        remove(self._path, self._log)

    def _open(self) -> bool:
        if not self.is_open:
            try:
                self._descriptor = open_own(self._path, _FLAGS)
                self.size = os.fstat(self._descriptor).st_size
            except OSError as error:
                self._log(f"cannot write {self._path}: {error.strerror}")
        return self.is_open

    def _terminate(self, start: int) -> None:
        """Terminate a torn last line, so that the next record starts on its own; or remove it, on a full disk."""
        try:
            self.size += os.write(self._descriptor, b"\n")
        except OSError:
            try:
                os.ftruncate(self._descriptor, start)
                self.size = start
            except OSError as error:
                self._log(f"cannot write {self._path}: {error.strerror}")
