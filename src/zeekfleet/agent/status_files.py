"""Zeek's own status files: who runs, told by inotify.

A node's file says ``STARTING`` when it is launched (``node/zeek.py`` writes it),
then what Zeek does: ``INITIALIZING``, ``RUNNING``, ``TERMINATING``, ``TERMINATED``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from zeekfleet.planning.layout import STATUS_FILE
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_MODIFY, IN_MOVED_TO, Inotify

logger = logging.getLogger(__name__)

RUNNING = "RUNNING"
CHANGES = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO


def says_running(directory: Path) -> bool:
    """Whether the node in this directory is up, by its status file."""
    try:
        return (directory / STATUS_FILE).read_text(errors="replace").startswith(RUNNING)
    except OSError:
        return False


async def running(directory: Path) -> None:
    """Wait until the node in this directory is up.

    Raises:
        OSError: there is no such directory.
    """
    changed = asyncio.Event()

    def read() -> None:
        for _ in inotify.read():
            changed.set()

    with contextlib.closing(Inotify(read)) as inotify:
        inotify.watch(directory, CHANGES)
        while not says_running(directory):
            changed.clear()
            await changed.wait()


class StatusFiles:
    """Which of some nodes are up.

    Args:
        on_change: called when that has changed by itself.

    Attributes:
        up: their names.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.up: frozenset[str] = frozenset()
        self._on_change = on_change
        self._nodes: dict[str, tuple[int, Path]] = {}
        self._inotify: Inotify | None = None
        self._watches: dict[int, str] = {}

    def follow(self, nodes: Mapping[str, tuple[int, Path]]) -> None:
        """Watch these nodes and no others.

        Args:
            nodes: by name, the process and the directory.
        """
        changed = {name for name in self._nodes.keys() | nodes.keys() if self._nodes.get(name) != nodes.get(name)}
        for watch in [watch for watch, name in self._watches.items() if name in changed]:
            del self._watches[watch]
            self._opened.unwatch(watch)
        self._nodes = dict(nodes)
        for name in sorted(changed & nodes.keys()):
            try:
                self._watches[self._opened.watch(nodes[name][1], CHANGES)] = name
            except OSError as error:
                logger.warning("the status of node %s is not known: %s", name, error)
        self._look()

    def close(self) -> None:
        """Watch nothing any more."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._watches.clear()

    @property
    def _opened(self) -> Inotify:
        if self._inotify is None:
            self._inotify = Inotify(self._happened)
        return self._inotify

    def _look(self) -> None:
        self.up = frozenset(name for name, (_, directory) in self._nodes.items() if says_running(directory))

    def _happened(self) -> None:
        before = self.up
        for _ in self._opened.read():
            continue
        self._look()
        if self.up != before:
            self._on_change()
