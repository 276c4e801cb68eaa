"""Waits for files to arrive in a directory, by inotify."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from zeekfleet.system.inotify import (
    IN_CLOSE_WRITE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_MOVE_SELF,
    IN_MOVED_TO,
    Inotify,
)

_END = IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF


class DirectoryWatch:
    """Watches a directory while the context lasts.

    Args:
        directory: must exist.

    Raises:
        OSError: on entering, if the directory does not exist or there are too many watches.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._arrived = asyncio.Event()
        self.ended = False
        """Whether the directory was removed or moved away, so that nothing more arrives."""

    def __enter__(self) -> Self:
        self._inotify = Inotify(self._happened)
        try:
            self._inotify.watch(self._directory, IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF)
        except OSError:
            self._inotify.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._inotify.close()

    async def arrival(self, timeout: float) -> None:
        """Wait until a file has arrived since the last call, or the watch has ended, or the time-out is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        self._arrived.clear()

    def _happened(self) -> None:
        for _, mask in self._inotify.read():
            self.ended = self.ended or bool(mask & _END)
        self._arrived.set()
