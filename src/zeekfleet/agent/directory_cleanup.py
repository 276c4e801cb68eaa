"""Removes the directories of nodes that have left the configuration, some time after they left.

Somebody may still need a node's logs, cores and crash reports. So its directory is kept, with a file that says since
when the node is gone. The directory is removed later, but only if it belongs to a node, the node is not configured,
the supervisor has no process of that name, and no process works in the directory. It is first renamed, while no
deployment is under way: if the node comes back, it gets a new directory, even if the old one cannot be removed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from zeekfleet.model.names import CONFIG_FILE, DAEMON_LOCK, NODES
from zeekfleet.system import crash_reports
from zeekfleet.system.privileges import acting_as_owner, owner_of

logger = logging.getLogger(__name__)

DAY = 86400.0
GONE_SINCE = ".gone-since"
"""The file in a node's directory that says when the node left, in seconds since 1970."""

REMOVED = ".removed-"
"""The prefix of directories that are being removed; no node's name begins with a dot."""

LONGEST_PAUSE = DAY
SHORTEST_PAUSE = 1.0


class DirectoryCleanup:
    """Removes the directories of departed nodes.

    Args:
        state_directory: the state directory; nodes' directories are ``nodes/<name>`` and ``crashes/<name>`` below it.
        keep: how many seconds a directory is kept.
        processes: returns the names of the supervisor's processes, or None if it does not answer.
        without_deployments: a context manager in which no deployment runs.
        report: called with a sentence for each removed directory.
    """

    def __init__(
        self,
        state_directory: Path,
        keep: float,
        processes: Callable[[], Awaitable[Collection[str] | None]],
        without_deployments: Callable[[], AbstractAsyncContextManager[None]],
        report: Callable[[str], None],
    ) -> None:
        self._state = state_directory
        self._keep = keep
        self._processes = processes
        self._undisturbed = without_deployments
        self._report = report
        self._configured: frozenset[str] | None = None
        self._changed = asyncio.Event()

    def configured(self, names: Collection[str]) -> None:
        """The configuration has exactly these nodes now."""
        self._configured = frozenset(names)
        self._changed.set()

    async def run(self) -> None:
        """Look whenever the configuration has changed and when the next directory is due, until cancelled."""
        pause: float | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            self._changed.clear()
            pause = await self._look()

    async def _look(self) -> float:
        """Remove what is due; returns the seconds until the next look."""
        async with self._undisturbed():
            configured, processes = self._configured, await self._processes()
            if configured is None or processes is None:
                return LONGEST_PAUSE
            spared = configured.union(processes)
            removed, pause = await asyncio.to_thread(set_aside, self._state, spared, self._keep, time.time())
        for name in removed:
            self._report(f"directory of node {name} removed: it is no longer part of the configuration")
        await asyncio.to_thread(remove, self._state)
        return min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)


def set_aside(state: Path, spared: Collection[str], keep: float, now: float) -> tuple[list[str], float]:
    """Write down since when nodes are gone, and rename the directories that are due.

    Args:
        state: the state directory.
        spared: the names of nodes that are configured or have a process.
        keep: how many seconds a directory is kept.
        now: the time, in seconds since 1970.

    Returns:
        The nodes whose directories were renamed, and the seconds until the next directory is due.
    """
    removed = []
    pause = LONGEST_PAUSE
    for directory in sorted(_nodes_directories(state)):
        since = directory / GONE_SINCE
        try:
            with acting_as_owner(directory):
                if directory.name in spared:
                    since.unlink(missing_ok=True)
                    continue
                left = _gone_since(since, now)
            if now - left < keep:
                pause = min(pause, left + keep - now)
            elif not _is_used(directory):
                _rename(state / crash_reports.DIRECTORY_NAME / directory.name)
                _rename(directory)
                removed.append(directory.name)
        except OSError as error:
            logger.warning(
                "directory %s of a node that is gone is left as it is: %s",
                directory,
                error.strerror,
                extra={"error": error.strerror},
            )
    return removed, pause


def remove(state: Path) -> None:
    """Remove all renamed directories, also those that a former agent renamed. Symbolic links are not followed."""
    for parent in (state / NODES, state / crash_reports.DIRECTORY_NAME):
        with suppress(OSError):
            for directory in parent.glob(f"{REMOVED}*"):
                if not directory.is_symlink():
                    shutil.rmtree(directory, ignore_errors=True)


def _nodes_directories(state: Path) -> Iterator[Path]:
    """The directories of cluster nodes, without those of agents and controllers and without other files."""
    with suppress(OSError):
        for entry in os.scandir(state / NODES):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                directory = Path(entry.path)
                if (directory / CONFIG_FILE).is_file() and not _is_of_daemon(directory):
                    yield directory


def _is_of_daemon(directory: Path) -> bool:
    """Whether a directory is that of an agent or controller. A node of another user may make any file in its own."""
    owner = owner_of(directory)
    return owner is not None and owner.uid == os.geteuid() and (directory / DAEMON_LOCK).exists()


def _gone_since(file: Path, now: float) -> float:
    """Since when the node is gone. If the file does not say it, or the clock was set back, write ``now`` into the file.

    Raises:
        OSError: the file cannot be written.
    """
    with suppress(OSError, ValueError):
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor) as stream:
            since = float(stream.read(32))
        if 0 < since <= now:
            return since
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"{now:.0f}\n")
    return now


def _is_used(directory: Path) -> bool:
    """Whether a process works in the directory or below it, or something is mounted there."""
    place = str(directory.resolve())
    below = f"{place}/"
    with suppress(OSError):
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        if any(f"{_unescaped(line.split()[4])}/".startswith(below) for line in mounts if len(line.split()) > 4):
            return True
    for process in os.scandir("/proc"):
        if process.name.isdigit():
            with suppress(OSError):
                if f"{(Path(process.path) / 'cwd').readlink()}/".startswith(below):
                    return True
    return False


def _unescaped(path: str) -> str:
    """A path from ``/proc/self/mountinfo``, in which the kernel escapes white space and backslashes."""
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _rename(directory: Path) -> None:
    """Give a directory a name that no node can have. Anything else than a directory, also a symbolic link, stays.

    Raises:
        OSError: the directory cannot be renamed.
    """
    try:
        mode = directory.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        directory.rename(directory.with_name(f"{REMOVED}{directory.name}-{os.getpid()}-{time.monotonic_ns()}"))
