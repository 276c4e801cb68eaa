"""Follows growing files line by line, for hooks and echo.

The file itself is the buffer: a reader that falls behind costs no memory, and the node that writes is never blocked.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from zeekfleet.supervisor.lines import LineSplitter
from zeekfleet.system.holes import first_data
from zeekfleet.system.inotify import IN_IGNORED, Inotify
from zeekfleet.system.privileges import Ids, acting_as

logger = logging.getLogger(__name__)

_CHUNK = 64 * 1024

Deliver = Callable[[str], None]


class Follower:
    """Follows one file. Several tasks may call ``read_on``: a lock lets one read at a time.

    Args:
        path: the file.
        offset: where to begin.
        deliver: takes each line.
        user: whose file it is, if it is not ours.
    """

    def __init__(self, path: Path, offset: int, deliver: Deliver, user: Ids | None = None) -> None:
        self.path = path
        self.user = user
        self.grown = asyncio.Event()
        self.grown.set()
        self._deliver = deliver
        self._offset = offset
        self._splitter = LineSplitter()
        self._turn = asyncio.Lock()

    async def read_on(self, end: int | None = None) -> None:
        """Deliver the lines that were added since.

        Args:
            end: read no further, and deliver an unfinished line there as well; None: read to the end of the file.
        """
        async with self._turn:
            await self._read_to(end)

    async def _read_to(self, end: int | None, is_end: bool = True) -> None:
        try:
            with acting_as(self.user):
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return
        try:
            await self._read(descriptor, end, is_end)
        finally:
            os.close(descriptor)

    async def deliver_then(self, end: int, remove_head: Callable[[], Awaitable[int]]) -> int:
        """Deliver all lines before ``end``, then have the head of the file removed while nobody reads.

        Args:
            end: where the head ends.
            remove_head: removes it; returns by how many bytes that shortened the file.
        """
        async with self._turn:
            await self._read_to(end, is_end=False)
            taken = await remove_head()
            self._offset = max(0, self._offset - taken)
            return taken

    async def _read(self, descriptor: int, end: int | None, is_end: bool) -> None:
        if os.fstat(descriptor).st_size < self._offset:
            self._offset = 0  # truncated, or replaced by another file
        if self._offset == 0:
            self._offset = first_data(descriptor)  # the head was freed, and reads as NULs
        while end is None or self._offset < end:
            length = _CHUNK if end is None else min(_CHUNK, end - self._offset)
            data = os.pread(descriptor, length, self._offset)
            if not data:
                break
            self._offset += len(data)
            for line in self._splitter.feed(data):
                self._deliver(line)
            await asyncio.sleep(0)  # let other tasks run between two chunks
        if is_end and end is not None and self._offset >= end:
            for line in self._splitter.flush():
                self._deliver(line)


class Followers:
    """All files that are followed, each by a task of its own.

    Args:
        tasks: the group that runs these tasks.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._inotify = Inotify(self._happened)
        self._followers: dict[Path, tuple[Follower, asyncio.Task[None]]] = {}
        self._watches: dict[Path, int] = {}

    def follow(self, path: Path, offset: int, deliver: Deliver, user: Ids | None = None) -> None:
        """Deliver the lines of ``path`` from ``offset`` on; if it is followed already, ``offset`` is ignored.

        Args:
            path: the file.
            offset: where to begin.
            deliver: takes each line.
            user: whose file it is, if it is not ours.
        """
        if path not in self._followers:
            follower = Follower(path, offset, deliver, user)
            self._followers[path] = (follower, self._tasks.create_task(self._run(follower)))
        self._watch(path)

    async def read_to(self, path: Path, end: int) -> None:
        """Return when everything up to ``end`` has been delivered; at once if the file is not followed."""
        if (entry := self._followers.get(path)) is not None:
            await entry[0].read_on(end)

    async def deliver_then(self, path: Path, end: int, remove_head: Callable[[], Awaitable[int]]) -> int:
        """Have the head of a file removed, once its lines have been delivered; see :meth:`Follower.deliver_then`."""
        if (entry := self._followers.get(path)) is None:
            return await remove_head()
        return await entry[0].deliver_then(end, remove_head)

    def forget(self, path: Path) -> None:
        """Stop following a file."""
        if (entry := self._followers.pop(path, None)) is not None:
            entry[1].cancel()
        if (watch := self._watches.pop(path, None)) is not None and watch not in self._watches.values():
            self._inotify.unwatch(watch)

    def close(self) -> None:
        """Stop following all files."""
        for path in list(self._followers):
            self.forget(path)
        self._inotify.close()

    def _watch(self, path: Path) -> None:
        """Watch the file that has this name now: somebody may have replaced it."""
        try:
            with acting_as(self._followers[path][0].user):
                self._watches[path] = self._inotify.watch(path)
        except OSError as error:
            logger.warning("cannot follow %s: %s", path, error.strerror, extra={"error": error.strerror})
        self._followers[path][0].grown.set()

    def _happened(self) -> None:
        grown = {watch for watch, mask in self._inotify.read() if not mask & IN_IGNORED}
        for path, watch in self._watches.items():
            # -1: the kernel's queue overflowed, and any file may have grown.
            if (watch in grown or -1 in grown) and path in self._followers:
                self._followers[path][0].grown.set()

    async def _run(self, follower: Follower) -> None:
        while True:
            await follower.grown.wait()
            follower.grown.clear()
            try:
                await follower.read_on()
            except Exception:
                # Some lines are lost to the hooks; the supervisor and other nodes are not affected.
                logger.exception("reading %s failed", follower.path)
