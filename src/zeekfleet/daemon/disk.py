"""Checks regularly whether the disks that a daemon needs have room. The kernel does not notify when a disk fills up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path

INTERVAL = 2.0
"""Seconds between two checks."""

MINIMUM_FREE = 16 * 1024 * 1024
MINIMUM_SHARE = 0.01
"""A disk with less free room, in bytes or (small disks) as a share, is full. With twice as much it is well again."""


def lack_of_room(directory: Path, factor: float = 1.0) -> str | None:
    """Why a directory's disk cannot be used, as a sentence; None if it can.

    Args:
        directory: a directory on that disk.
        factor: require this many times the usual minimum.
    """
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        return f"directory {directory} cannot be used: {error.strerror}"
    free = (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize
    if disk.f_blocks and free < factor * min(MINIMUM_FREE, MINIMUM_SHARE * disk.f_blocks * disk.f_frsize):
        return f"no space left in directory {directory}: {free} bytes are free"
    if disk.f_files and not (disk.f_ffree if os.geteuid() == 0 else disk.f_favail):
        return f"no space left in directory {directory}: its disk can hold no more files"
    return None


class DiskWatch:
    """Checks the disks of directories. Reports the beginning of each problem once, and its end once.

    Args:
        directories: the directories.
        alarm: called when a problem begins.
        relief: called when it has ended.
        interval: seconds between two checks.
    """

    def __init__(
        self,
        directories: Iterable[Path],
        alarm: Callable[[str], None],
        relief: Callable[[str], None],
        interval: float = INTERVAL,
    ) -> None:
        self._directories = tuple(dict.fromkeys(directories))
        self._alarm = alarm
        self._relief = relief
        self._interval = interval
        self._troubled: set[Path] = set()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            # In a thread, because a network file system may block the call.
            self._tell(await asyncio.to_thread(self._check))
            await asyncio.sleep(self._interval)

    def _check(self) -> dict[Path, str | None]:
        return {each: lack_of_room(each, 2.0 if each in self._troubled else 1.0) for each in self._directories}

    def _tell(self, found: dict[Path, str | None]) -> None:
        for directory, problem in found.items():
            if problem is not None and directory not in self._troubled:
                self._troubled.add(directory)
                self._alarm(problem)
            elif problem is None and directory in self._troubled:
                self._troubled.discard(directory)
                self._relief(f"there is room in directory {directory} again")
