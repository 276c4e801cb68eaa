"""Watches Zeek's own status files with inotify, to know which nodes are up.

We write ``STARTING`` into a node's file when it is launched (``node/zeek/engine.py``).
Then Zeek writes ``INITIALIZING``, ``RUNNING``, ``TERMINATING`` and ``TERMINATED``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from zeekfleet.planning.layout import STATUS_FILE
from zeekfleet.system.files import read_regular
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_MODIFY, IN_Q_OVERFLOW, Inotify
from zeekfleet.system.privileges import acting_as_owner
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

RUNNING = b"RUNNING"

AGAIN = 1.0
"""Seconds between two attempts to read and to watch a file for which the kernel has no watch left."""


def says_running(directory: Path) -> bool:
    """Whether the node in this directory is up, by its status file."""
    try:
        with acting_as_owner(directory):
            return read_regular(directory / STATUS_FILE, len(RUNNING)) == RUNNING
    except OSError:
        return False


class StatusFiles:
    """Knows which nodes are up.

    Each file is watched itself, since Zeek overwrites it in place. A watch on the directory would be triggered all
    the time by a logger's logs.

    Attributes:
        up: the names of the nodes that are up.
        on_change: called when ``up`` has changed, except by :meth:`follow`.
    """

    def __init__(self) -> None:
        self.up: frozenset[str] = frozenset()
        self.on_change: Callable[[], None] = lambda: None
        self._nodes: dict[str, tuple[int, Path]] = {}
        self._inotify: Inotify | None = None
        self._watches: dict[int, str] = {}
        self._unwatched: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = Signal()

    async def wait_for(self, name: str) -> None:
        """Wait until the node is followed and up.

        The file is read once more, because the event of a relaunch, which overwrites it, may not have arrived yet.
        """
        while name not in self.up or not says_running(self._nodes[name][1]):
            await self._changed.next()

    def follow(self, nodes: Mapping[str, tuple[int, Path]]) -> None:
        """Watch these nodes and no others.

        Args:
            nodes: by name, the process id and the directory.
        """
        changed = {name for name in self._nodes.keys() | nodes.keys() if self._nodes.get(name) != nodes.get(name)}
        for watch in [watch for watch, name in self._watches.items() if name in changed]:
            del self._watches[watch]
            self._opened.unwatch(watch)
        self._nodes = dict(nodes)
        self._unwatched -= changed
        self._watch(changed & nodes.keys())
        self._look(changed)
        self._look_later()

    def close(self) -> None:
        """Stop watching."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watches.clear()

    @property
    def _opened(self) -> Inotify:
        if self._inotify is None:
            self._inotify = Inotify(self._happened)
        return self._inotify

    def _watch(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            try:
                directory = self._nodes[name][1]
                with acting_as_owner(directory):
                    watch = self._opened.watch(directory / STATUS_FILE, IN_MODIFY | IN_CLOSE_WRITE)
            except OSError as error:
                if name not in self._unwatched:
                    logger.warning(
                        "the status file of node %s cannot be watched, and is read once a second: %s",
                        name,
                        error,
                        extra={"node": name, "error": str(error)},
                    )
                self._unwatched.add(name)
            else:
                self._watches[watch] = name
                self._unwatched.discard(name)

    def _look_later(self) -> None:
        """Read files that cannot be watched again later. For nodes that are up, the supervisor reports their ends."""
        if self._timer is None and self._unwatched - self.up:
            self._timer = asyncio.get_running_loop().call_later(AGAIN, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        before, unwatched = self.up, frozenset(self._unwatched)
        self._watch(unwatched)
        self._look(unwatched)
        self._look_later()
        if self.up != before:
            self.on_change()

    def _look(self, names: Iterable[str]) -> None:
        """Read the files of these nodes and update ``up``."""
        looked_at = frozenset(names)
        running = {name for name in looked_at & self._nodes.keys() if says_running(self._nodes[name][1])}
        self.up = (self.up - looked_at) | running
        self._changed.notify()

    def _happened(self) -> None:
        before = self.up
        events = list(self._opened.read())
        lost = any(mask & IN_Q_OVERFLOW for _, mask in events)
        told = {self._watches[watch] for watch, _ in events if watch in self._watches}
        self._look(self._nodes if lost else told)
        if self.up != before:
            self.on_change()
