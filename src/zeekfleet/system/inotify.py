"""The kernel's inotify: notifies when a file has grown or a directory has changed."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_IGNORED = 0x8000
IN_Q_OVERFLOW = 0x4000
IN_ONESHOT = 0x80000000
_IN_CLOEXEC = os.O_CLOEXEC
_IN_NONBLOCK = os.O_NONBLOCK
_EVENT = struct.Struct("iIII")
_READ_SIZE = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


class Inotify:
    """One inotify instance; ``fileno`` is readable when :meth:`read` has something.

    Args:
        on_ready: called by the running event loop, until closed, whenever there is something to read.
    """

    def __init__(self, on_ready: Callable[[], None] | None = None) -> None:
        self._descriptor = _checked(_libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK), "inotify")
        self._loop = asyncio.get_running_loop() if on_ready is not None else None
        if self._loop is not None and on_ready is not None:
            self._loop.add_reader(self._descriptor, on_ready)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._descriptor

    def watch(self, path: Path, mask: int = IN_MODIFY) -> int:
        """Watch a file (by default for writes) or a directory.

        Returns:
            The number of the watch, which events have. The same file always gets the same number.

        Raises:
            OSError: the file is missing, or there are too many watches.
        """
        encoded = os.fsencode(path)
        return _checked(_libc.inotify_add_watch(self._descriptor, encoded, mask), str(path))

    def unwatch(self, watch: int) -> None:
        """Stop watching. Unknown numbers are ignored: the kernel removes the watch of a deleted file itself."""
        _libc.inotify_rm_watch(self._descriptor, watch)

    def read(self) -> Iterator[tuple[int, int]]:
        """The events since the last call, each as watch number and mask.

        Number -1 with ``IN_Q_OVERFLOW`` means that events were lost.
        """
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, position)
            position += _EVENT.size + length
            yield watch, mask

    def close(self) -> None:
        """Close it and all its watches."""
        if self._loop is not None:
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
