"""The task that archives the rotated logs of a host."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import msgspec

from zeekfleet.archive import clearing, command
from zeekfleet.archive.clearing import Cleared, Limits
from zeekfleet.archive.compression import Compression, require
from zeekfleet.archive.names import RotatedLog, parse_rotated
from zeekfleet.archive.watch import DirectoryWatch
from zeekfleet.archive.writer import ArchiveWriter, Outcome
from zeekfleet.model.launch import Account
from zeekfleet.system.files import open_own
from zeekfleet.system.privileges import make_directory

logger = logging.getLogger(__name__)

LOCK = ".zeekfleet-archiver.lock"
WORKERS = 2
"""Logs that are compressed in parallel."""

NICENESS = 10
CLEARING_INTERVAL = 600.0
"""Seconds between two checks of ages and of the disk, when no log arrives."""

MAX_TOLD = 1000
"""Kinds of problems that are reported at the same time; more are not reported."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

Alarm = Callable[[str], None]
"""Called with a problem. The same kind of problem is reported once, until archiving works again."""


class ArchiveOptions(msgspec.Struct, frozen=True):
    """How to archive.

    Attributes:
        queue: the directory in which rotated logs wait; made if missing.
        logs: the archive; made if missing.
        compression: how logs are compressed.
        limits: how old and how large the archive may become.
        command: if not empty, run this in place of the built-in archiver (see ``command.command_line``).
        interval: seconds between two runs of that command.
        first_delay: seconds before the first retry after a failure; doubles with each retry.
        last_delay: the longest delay, in seconds.
        user: to whom the queue belongs, if it is made; None: to us.
    """

    queue: Path
    logs: Path
    compression: Compression = Compression.GZIP
    limits: Limits = Limits()
    command: str = ""
    interval: float = 3600.0
    first_delay: float = 1.0
    last_delay: float = 300.0
    user: Account | None = None


class Archiver:
    """Archives all logs that arrive in a queue.

    Args:
        options: how to archive.
        alarm: called with each problem; by default it is logged.

    Raises:
        SettingsError: the options cannot be met on this host.
    """

    def __init__(self, options: ArchiveOptions, alarm: Alarm = logger.error) -> None:
        require(options.compression)
        self._options = options
        self._command = (
            command.command_line(options.command, options.queue, options.logs) if options.command.strip() else ()
        )
        self._alarm = alarm
        self._told: set[object] = set()
        self._strange: set[str] = set()
        self._failed: set[str] = set()
        self._delay = options.first_delay

    async def run(self) -> None:
        """Archive until cancelled. A failure is reported, and tried again later."""
        while True:
            try:
                with _held(self._options.queue, self._options.user) as queue, _held(self._options.logs) as logs:
                    await (self._command_runs((queue, logs)) if self._command else self._archive())
            except BlockingIOError:
                logger.info("another archiver is using %s or %s", self._options.queue, self._options.logs)
            except OSError as error:
                self._tell(error.errno, f"logs cannot be archived: {_sentence(error)}")
            else:
                continue  # the queue was moved away: make it again
            await asyncio.sleep(self._next_delay())

    # --- the built-in archiver

    async def _archive(self) -> None:
        """Serve the queue until it is moved away."""
        options = self._options
        stopping = threading.Event()
        writer = ArchiveWriter(options.queue, options.logs, options.compression, stopping.is_set)
        # Watch the queue before listing it, so that no file is missed in between.
        with (
            DirectoryWatch(options.queue) as watch,
            ThreadPoolExecutor(WORKERS, "archive", initializer=_be_nice) as threads,
        ):
            try:
                await asyncio.to_thread(clearing.remove_leftovers, options.logs)
                while not watch.ended:
                    full = await self._archive_all(writer, threads, stopping)
                    cleared = await self._clear()
                    retry = self._next_delay() if self._failed else CLEARING_INTERVAL
                    if not full:
                        await watch.arrival(min(retry, CLEARING_INTERVAL))
                    elif not cleared.removed:
                        await asyncio.sleep(retry)  # the disk is full for new logs as well
            finally:
                stopping.set()

    async def _archive_all(self, writer: ArchiveWriter, threads: ThreadPoolExecutor, stopping: threading.Event) -> bool:
        """Archive all logs in the queue; True if the disk is full."""
        waiting = await asyncio.to_thread(self._waiting)
        loop = asyncio.get_running_loop()
        full = False
        count = 0
        attempts: set[asyncio.Future[Outcome]] = set()
        names: dict[asyncio.Future[Outcome], str] = {}
        self._failed.clear()
        try:
            while (waiting and not full) or attempts:
                while waiting and not full and len(attempts) < WORKERS:
                    name, log = waiting.pop(0)
                    attempt = loop.run_in_executor(threads, writer.put, name, log)
                    names[attempt] = name
                    attempts.add(attempt)
                done, attempts = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    full = self._finished(names.pop(attempt), attempt) or full
                    count += attempt.exception() is None and attempt.result() is Outcome.ARCHIVED
        except asyncio.CancelledError:
            stopping.set()
            if attempts:
                await asyncio.wait(attempts)
            raise
        if count:
            logger.info("%d logs archived", count)
        if not self._failed and not full:
            self._report_recovery()
        return full

    def _waiting(self) -> list[tuple[str, RotatedLog]]:
        """The rotated logs in the queue, oldest first."""
        found: list[tuple[str, RotatedLog]] = []
        strange: set[str] = set()
        for entry in os.scandir(self._options.queue):
            if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
                continue
            log = parse_rotated(entry.name)
            if log is None:
                strange.add(entry.name)
            else:
                found.append((entry.name, log))
        for name in sorted(strange - self._strange):
            logger.warning("%r in %s is not named like a rotated log; it is left there", name, self._options.queue)
        self._strange = strange
        return sorted(found, key=lambda pair: (pair[1].opened, pair[0]))

    def _finished(self, name: str, attempt: asyncio.Future[Outcome]) -> bool:
        """Handle the outcome of archiving one log; True if the disk is full."""
        error = attempt.exception()
        if error is None:
            logger.debug("log %r: %s", name, attempt.result().value)
            return False
        self._failed.add(name)
        if isinstance(error, OSError):
            self._tell(error.errno, f"log {name!r} cannot be archived: {_sentence(error)}")
            return error.errno in _FULL
        # An unexpected error with one log must not keep the others from being archived.
        logger.error("log %r cannot be archived", name, exc_info=error)
        self._tell(type(error), f"log {name!r} cannot be archived: {error}")
        return False

    # --- another program instead

    async def _command_runs(self, locks: tuple[int, int]) -> None:
        # Report a missing program now, not when the first logs arrive.
        if problem := await asyncio.to_thread(command.missing, self._command[0]):
            self._tell(problem, f"logs cannot be archived: {problem}")
        while True:
            if await asyncio.to_thread(_has_entries, self._options.queue):
                logger.debug("running %s", self._command[0])  # its arguments may be secrets
                if problem := await command.run(self._command, locks):
                    self._tell(problem, f"logs were not archived: {problem}")
                else:
                    self._report_recovery()
            await self._clear()
            await asyncio.sleep(self._options.interval)

    # --- both

    async def _clear(self) -> Cleared:
        options = self._options
        today = datetime.now().astimezone().date()
        try:
            cleared = await asyncio.to_thread(clearing.clear, options.logs, today, options.limits)
        except OSError as error:
            self._tell("clear", f"old logs cannot be removed: {_sentence(error)}")
            return Cleared()
        if cleared.removed:
            logger.info("%d old logs removed, %d bytes freed", cleared.removed, cleared.freed)
        if cleared.excess:
            share = f"over {options.limits.disk_percent:g} % full"
            self._tell("full", f"the disk of {options.logs} is {share}, and only today's logs are left to remove")
        else:
            self._told.discard("full")
        return cleared

    def _next_delay(self) -> float:
        delay = self._delay
        self._delay = min(2 * delay, self._options.last_delay)
        return delay

    def _tell(self, kind: object, problem: str) -> None:
        """Report a problem, unless one of this kind was reported already."""
        if kind in self._told or len(self._told) >= MAX_TOLD:
            logger.debug(problem)
            return
        self._told.add(kind)
        self._alarm(problem)

    def _report_recovery(self) -> None:
        self._delay = self._options.first_delay
        if self._told - {"full", "clear"}:
            logger.info("logs are archived again")
            self._told &= {"full", "clear"}


@contextlib.contextmanager
def _held(directory: Path, user: Account | None = None) -> Iterator[int]:
    """Make the directory, for a user if one is given, and hold its lock while the context lasts; the lock's descriptor.

    Raises:
        BlockingIOError: another archiver has the lock.
        OSError: the directory cannot be used.
    """
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_directory(directory, 0o700, user)
    descriptor = open_own(directory / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _has_entries(directory: Path) -> bool:
    return any(not entry.name.startswith(".") for entry in os.scandir(directory))


def _be_nice() -> None:
    """Lower the priority of this thread. On Linux that does not affect other threads, such as the event loop's."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _sentence(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return where + (error.strerror or str(error))
