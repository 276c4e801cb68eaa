"""A file of lines that is appended to: what is written together is there as a whole, or not at all.

Nothing is synced: such a file serves the next process, not the time after a loss of power.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE = 0o600


class LineFile:
    """The file, mode 0600, opened when it is first needed.

    Args:
        path: where it is.
        log: takes one line about each failure; no method raises.

    Attributes:
        size: bytes in it, once it is open.
    """

    def __init__(self, path: Path, log: Callable[[str], None]) -> None:
        self.size = 0
        self._path = path
        self._log = log
        self._descriptor = -1

    @property
    def is_open(self) -> bool:
        """Whether it has been read or written."""
        return self._descriptor >= 0

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Where each line begins, and the line, without empty ones; to be read before anything is appended."""
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
        """A part of it.

        Raises:
            OSError: it cannot be read.
        """
        return os.pread(self._descriptor, length, offset)

    def append(self, content: bytes) -> bool:
        """Append whole lines, all or none; whether they were."""
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
        """Put a file with this content in its place; whether that could be done."""
        temporary = self._path.with_name(f"{self._path.name}.new")
        new = -1
        try:
            new = os.open(temporary, _FLAGS | os.O_TRUNC, _MODE)
            size = 0
            with os.fdopen(os.dup(new), "wb") as file:
                for piece in pieces:
                    size += file.write(piece)
            temporary.replace(self._path)
        except OSError as error:
            self._log(f"cannot write {self._path}: {error.strerror}")
            if new >= 0:
                os.close(new)
                temporary.unlink()  # it may hold what room there is
            return False
        self.close()
        self._descriptor, self.size = new, size
        return True

    def clear(self) -> bool:
        """Remove all lines; whether that could be done."""
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            self._log(f"cannot write {self._path}: {error.strerror}")
            return False
        self.size = 0
        return True

    def close(self) -> None:
        """Close it; it is opened again when it is needed."""
        if self.is_open:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """No line is needed any more, nor the file."""
        self.close()
        self._path.unlink(missing_ok=True)

    def _open(self) -> bool:
        if not self.is_open:
            try:
                self._descriptor = os.open(self._path, _FLAGS, _MODE)
                self.size = os.fstat(self._descriptor).st_size
            except OSError as error:
                self._log(f"cannot write {self._path}: {error.strerror}")
        return self.is_open

    def _terminate(self, start: int) -> None:
        """Terminate a torn last line, so that the next record starts on its own; or remove it, on a full disk."""
        try:
            self.size += os.write(self._descriptor, b"\n")
        except OSError:
            os.ftruncate(self._descriptor, start)
            self.size = start
