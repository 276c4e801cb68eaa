"""Keeps the output files of nodes within bounds, whoever writes them.

The kernel tells once that a file has been written to; then it is looked at, and after a
pause the kernel is asked again. A file that nobody writes to costs nothing, one that is
written to all the time a look every now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from zeekfleet.supervisor import rotation
from zeekfleet.supervisor.rotation import Rotation
from zeekfleet.system.inotify import IN_MODIFY, IN_ONESHOT, Inotify

T = TypeVar("T")

logger = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two looks at a file that is written to."""

Way = Callable[[Path, int, Callable[[], Awaitable[int]]], Awaitable[int]]
"""Makes way for the part of a file that ends there, and does the work: see ``follow.Followers.make_way``."""


class OutputLimits(msgspec.Struct, frozen=True):
    """How large a node's output file may become, in bytes (0: as it likes), and how many rotated ones are kept."""

    size: int = 0
    kept: int = 3


class Outputs:
    """The files that are kept within bounds; to be made within the running loop.

    Args:
        limits: the bounds.
        tasks: where the work runs.
        way: makes way for what is given back.
        taken_out: told of a file from whose beginning so many bytes have been taken.
    """

    def __init__(
        self, limits: OutputLimits, tasks: asyncio.TaskGroup, way: Way, taken_out: Callable[[Path, int], None]
    ) -> None:
        self._limits = limits
        self._way = way
        self._taken_out = taken_out
        self._inotify = Inotify(self._happened)
        self._watches: dict[int, Path] = {}
        self._written: asyncio.Queue[Path] = asyncio.Queue()
        self._bounded: dict[Path, bool] = {}
        """Whether a file has been looked at since we came: an earlier process may have left something half done."""
        self._waiting: dict[Path, bool] = {}
        """Files that the kernel is to be asked for when the pause is over; whether they are to be looked at, too."""
        self._sizes: dict[Path, int] = {}
        """Of files that have been looked at, how large they were then."""
        self._pause: asyncio.TimerHandle | None = None
        self._told: set[str] = set()
        self._task = tasks.create_task(self._run())

    def bound(self, path: Path, *, is_found: bool = False) -> None:
        """Keep a file within bounds from now on.

        Args:
            path: the file; it may be another one than the last time that this was said.
            is_found: somebody has been writing to it before we came.
        """
        if self._limits.size:
            self._bounded.setdefault(path, False)
            self._wait_for(path, is_found)

    def forget(self, path: Path) -> None:
        """Leave a file alone."""
        self._bounded.pop(path, None)
        self._waiting.pop(path, None)
        self._sizes.pop(path, None)

    def close(self) -> None:
        """Leave all files alone."""
        self._task.cancel()
        if self._pause is not None:
            self._pause.cancel()
        self._inotify.close()

    def _wait_for(self, path: Path, is_to_be_looked_at: bool) -> None:
        """One pause for all: what starts nodes, or writes a lot, is not held up by this."""
        self._waiting[path] = is_to_be_looked_at or self._waiting.get(path, False)
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(PAUSE, self._pause_is_over)

    def _pause_is_over(self) -> None:
        self._pause = None
        waiting, self._waiting = self._waiting, {}
        for path, is_to_be_looked_at in waiting.items():
            self._watch(path)
            # What was written before the kernel was asked, it does not tell.
            size = _size(path)
            if is_to_be_looked_at or size != self._sizes.get(path, size if size <= self._limits.size else 0):
                self._written.put_nowait(path)

    def _watch(self, path: Path) -> None:
        try:
            self._watches[self._inotify.watch(path, IN_MODIFY | IN_ONESHOT)] = path
        except FileNotFoundError:
            return  # with the next start of its node there is one
        except OSError as error:
            self._tell(f"output files are not kept within bounds: {error.strerror}: {path}")

    def _happened(self) -> None:
        for watch, mask in self._inotify.read():
            if watch == -1:  # the queue ran over: any of them may have been written to
                for path in self._bounded:
                    self._wait_for(path, True)
                continue
            written = self._watches.pop(watch, None)
            if written is not None and written in self._bounded and mask & IN_MODIFY:
                self._written.put_nowait(written)

    async def _run(self) -> None:
        while True:
            path = await self._written.get()
            if path not in self._bounded:
                continue
            try:
                await self._look_at(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                self._tell(f"output file {path} cannot be rotated: {error.strerror or error}")
            except Exception:
                logger.exception("output file %s was not kept within bounds", path)
            if path in self._bounded:
                self._sizes[path] = _size(path)
                self._wait_for(path, False)

    async def _look_at(self, path: Path) -> None:
        rotated = Rotation(path, self._limits.kept)
        if not self._bounded[path]:
            self._bounded[path] = True
            await _in_thread(rotated.recover)
        part = await _in_thread(lambda: rotation.excess(path, self._limits.size))
        if part is None:
            return
        if not await _in_thread(rotated.can):
            self._tell(f"output file {path} cannot be rotated while it is written: its file system cannot free a part")
            return

        async def work() -> int:
            taken = await _in_thread(lambda: rotated.rotate(part))
            if taken:
                self._taken_out(path, taken)
            return taken

        await self._way(path, part.end, work)
        logger.debug("rotated output file %s", path)

    def _tell(self, sentence: str) -> None:
        """Once: it will not be different the next time."""
        if sentence not in self._told:
            self._told.add(sentence)
            logger.warning("%s", sentence)


async def _in_thread(work: Callable[[], T]) -> T:
    """Have a thread do it; its end is waited for even by who is cancelled, for the next one goes on with the same."""
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
