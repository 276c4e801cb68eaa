"""Rotates the output files of nodes when they become too large.

For each file, inotify is asked for one event only: the next write. After it, the file's size is checked, and after a
pause inotify is asked again. So a file that nobody writes to costs nothing, and one that is written to all the time is
checked twice a second.
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
from zeekfleet.system.privileges import Ids, acting_as

T = TypeVar("T")

logger = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two checks of a file that is written to."""

DeliverThen = Callable[[Path, int, Callable[[], Awaitable[int]]], Awaitable[int]]
"""Delivers the lines of a file's head, then has it removed: see :meth:`~.follow.Followers.deliver_then`."""


class OutputLimits(msgspec.Struct, frozen=True):
    """When output files are rotated.

    Attributes:
        size: bytes above which a file is rotated; 0: never.
        kept: how many rotated files are kept.
    """

    size: int = 0
    kept: int = 3


class Outputs:
    """The files that are watched and rotated. Create it while the event loop runs.

    Args:
        limits: when files are rotated.
        tasks: the group that runs the rotations.
        deliver_then: delivers the lines of a file's head to the hooks before it is removed.
        taken_out: called with a file and the number of bytes that were removed from its beginning.
    """

    def __init__(
        self,
        limits: OutputLimits,
        tasks: asyncio.TaskGroup,
        deliver_then: DeliverThen,
        taken_out: Callable[[Path, int], None],
    ) -> None:
        self._limits = limits
        self._deliver_then = deliver_then
        self._taken_out = taken_out
        self._inotify = Inotify(self._happened)
        self._watches: dict[int, Path] = {}
        self._written: asyncio.Queue[Path] = asyncio.Queue()
        self._bounded: dict[Path, bool] = {}
        """Whether each file was checked since we started: an earlier process may have left a rotation half done."""
        self._waiting: dict[Path, bool] = {}
        """Files that are watched again when the pause is over, and whether they must be checked then in any case."""
        self._users: dict[Path, Ids | None] = {}
        """Whose files they are, where they are not ours."""
        self._sizes: dict[Path, int] = {}
        """The sizes of files when they were last checked."""
        self._pause: asyncio.TimerHandle | None = None
        self._told: set[str] = set()
        self._task = tasks.create_task(self._run())

    def bound(self, path: Path, user: Ids | None = None, *, is_found: bool = False) -> None:
        """Rotate this file from now on when it becomes too large.

        Args:
            path: the file. Call this again when another file has taken its place.
            user: whose file it is, if it is not ours.
            is_found: it was written to before this process started: check it once in any case.
        """
        if self._limits.size:
            self._bounded.setdefault(path, False)
            self._users[path] = user
            self._wait_for(path, is_found)

    def forget(self, path: Path) -> None:
        """Stop watching a file."""
        self._bounded.pop(path, None)
        self._users.pop(path, None)
        self._waiting.pop(path, None)
        self._sizes.pop(path, None)

    def close(self) -> None:
        """Stop watching all files."""
        self._task.cancel()
        if self._pause is not None:
            self._pause.cancel()
        self._inotify.close()

    def _wait_for(self, path: Path, must_check: bool) -> None:
        """Watch a file again after the pause, which is one for all files: this keeps the cost of many starts low."""
        self._waiting[path] = must_check or self._waiting.get(path, False)
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(PAUSE, self._pause_is_over)

    def _pause_is_over(self) -> None:
        self._pause = None
        waiting, self._waiting = self._waiting, {}
        for path, must_check in waiting.items():
            self._watch(path)
            # Inotify does not tell of writes before it was asked: compare the size.
            size = _size(path)
            if must_check or size != self._sizes.get(path, size if size <= self._limits.size else 0):
                self._written.put_nowait(path)

    def _watch(self, path: Path) -> None:
        try:
            with acting_as(self._users.get(path)):
                self._watches[self._inotify.watch(path, IN_MODIFY | IN_ONESHOT)] = path
        except FileNotFoundError:
            return  # the next start of its node makes it
        except OSError as error:
            self._tell(f"output files are not rotated: {error.strerror}: {path}")

    def _happened(self) -> None:
        for watch, mask in self._inotify.read():
            if watch == -1:  # the kernel's queue overflowed: any file may have been written to
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
                await self._check(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                self._tell(f"output file {path} cannot be rotated: {error.strerror or error}")
            except Exception:
                logger.exception("output file %s could not be rotated", path)
            if path in self._bounded:
                self._sizes[path] = _size(path)
                self._wait_for(path, False)

    async def _check(self, path: Path) -> None:
        rotated, user = Rotation(path, self._limits.kept), self._users[path]
        if not self._bounded[path]:
            self._bounded[path] = True
            await _in_thread(rotated.recover, user)
        part = await _in_thread(lambda: rotation.excess(path, self._limits.size), user)
        if part is None:
            return
        if not await _in_thread(rotated.can, user):
            self._tell(f"output file {path} cannot be rotated while it is written: its file system cannot free a part")
            return

        async def remove_head() -> int:
            taken = await _in_thread(lambda: rotated.rotate(part), user)
            if taken:
                self._taken_out(path, taken)
            return taken

        await self._deliver_then(path, part.end, remove_head)
        logger.debug("rotated output file %s", path)

    def _tell(self, sentence: str) -> None:
        """Log a sentence, once only: the same problem comes again at every check."""
        if sentence not in self._told:
            self._told.add(sentence)
            logger.warning("%s", sentence)


async def _in_thread(work: Callable[[], T], user: Ids | None) -> T:
    """Do work in a thread, as the file's user.

    If cancelled, wait for its end first: two threads must not work on the same file.
    """

    def act() -> T:
        with acting_as(user):
            return work()

    doing = asyncio.ensure_future(asyncio.to_thread(act))
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
