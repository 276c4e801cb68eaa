"""Follows growing files line by line, for hooks and echo.

The file is the buffer: a reader that falls behind costs no memory, and the node
that writes never waits.
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

logger = logging.getLogger(__name__)

_CHUNK = 64 * 1024

Deliver = Callable[[str], None]


class Follower:
    """One file. ``read_on`` may be called by several tasks; they take turns."""

    def __init__(self, path: Path, offset: int, deliver: Deliver) -> None:
        self.path = path
        self.grown = asyncio.Event()
        self.grown.set()
        self._deliver = deliver
        self._offset = offset
        self._splitter = LineSplitter()
        self._turn = asyncio.Lock()

    async def read_on(self, end: int | None = None) -> None:
        """Deliver what has come, up to the end of the file, or up to ``end`` and an unfinished line there as well."""
        async with self._turn:
            await self._read_to(end)

    async def _read_to(self, end: int | None, is_end: bool = True) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return
        try:
            await self._read(descriptor, end, is_end)
        finally:
            os.close(descriptor)

    async def made_way(self, end: int, work: Callable[[], Awaitable[int]]) -> int:
        """Deliver what comes before ``end``, and have the beginning of the file taken out before anything else.

        Args:
            end: where the part ends that is given back.
            work: does it; returns how many bytes have been taken out.
        """
        async with self._turn:
            await self._read_to(end, is_end=False)
            taken = await work()
            self._offset = max(0, self._offset - taken)
            return taken

    async def _read(self, descriptor: int, end: int | None, is_end: bool) -> None:
        if os.fstat(descriptor).st_size < self._offset:
            self._offset = 0  # truncated, or replaced by another file
        if self._offset == 0:
            self._offset = first_data(descriptor)  # what came before has been given back
        while end is None or self._offset < end:
            length = _CHUNK if end is None else min(_CHUNK, end - self._offset)
            data = os.pread(descriptor, length, self._offset)
            if not data:
                break
            self._offset += len(data)
            for line in self._splitter.feed(data):
                self._deliver(line)
            await asyncio.sleep(0)  # others take their turn between two chunks
        if is_end and end is not None and self._offset >= end:
            for line in self._splitter.flush():
                self._deliver(line)


class Followers:
    """All files that are followed, each by a task of the given group.

    Args:
        tasks: where their tasks run.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._inotify = Inotify(self._happened)
        self._followers: dict[Path, tuple[Follower, asyncio.Task[None]]] = {}
        self._watches: dict[Path, int] = {}

    def follow(self, path: Path, offset: int, deliver: Deliver) -> None:
        """Deliver the lines of ``path`` from ``offset`` on; if it is followed already, go on where that is."""
        if path not in self._followers:
            follower = Follower(path, offset, deliver)
            self._followers[path] = (follower, self._tasks.create_task(self._run(follower)))
        self._watch(path)

    async def read_to(self, path: Path, end: int) -> None:
        """Return when everything up to ``end`` has been delivered; at once if the file is not followed."""
        if (entry := self._followers.get(path)) is not None:
            await entry[0].read_on(end)

    async def make_way(self, path: Path, end: int, work: Callable[[], Awaitable[int]]) -> int:
        """Have the beginning of a file, up to ``end``, given back once it has been delivered; see ``made_way``."""
        if (entry := self._followers.get(path)) is None:
            return await work()
        return await entry[0].made_way(end, work)

    def forget(self, path: Path) -> None:
        """Follow no longer."""
        if (entry := self._followers.pop(path, None)) is not None:
            entry[1].cancel()
        if (watch := self._watches.pop(path, None)) is not None and watch not in self._watches.values():
            self._inotify.unwatch(watch)

    def close(self) -> None:
        """Follow nothing any more."""
        for path in list(self._followers):
            self.forget(path)
        self._inotify.close()

    def _watch(self, path: Path) -> None:
        """Watch the file that is there now: a rotation may have put another in its place."""
        try:
            self._watches[path] = self._inotify.watch(path)
        except OSError as error:
            logger.warning("cannot follow %s: %s", path, error.strerror, extra={"error": error.strerror})
        self._followers[path][0].grown.set()

    def _happened(self) -> None:
        grown = {watch for watch, mask in self._inotify.read() if not mask & IN_IGNORED}
        for path, watch in self._watches.items():
            # -1: the queue ran over, and any of them may have grown.
            if (watch in grown or -1 in grown) and path in self._followers:
                self._followers[path][0].grown.set()

    async def _run(self, follower: Follower) -> None:
        while True:
            await follower.grown.wait()
            follower.grown.clear()
            try:
                await follower.read_on()
            except Exception:
                # Whoever wants lines misses some; it is no reason to end anything.
                logger.exception("reading %s failed", follower.path)
