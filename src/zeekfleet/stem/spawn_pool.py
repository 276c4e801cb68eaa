"""Starts several processes in parallel: most of a start is spent waiting until the child executes its program."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zeekfleet.stem.spawn import Spawn

_HELPERS = 3
"""Threads beside our own. They sleep while there is nothing to start."""

_MOST_AT_ONCE = 32
"""The most starts whose ``done`` has not been called yet: each holds two descriptors."""

Done = Callable[[Spawn], None]


class SpawnPool:
    """Starts processes, one by one or in parallel."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._wanted: queue.SimpleQueue[Spawn] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Spawn] = queue.SimpleQueue()
        self._begun: list[tuple[Spawn, Done]] = []
        self._running = 0
        self._is_gathering = False

    def start(self, spawn: Spawn, done: Done) -> None:
        """Start it; ``done`` is called in this thread, before this returns or when :meth:`together` ends."""
        if not self._is_gathering:
            spawn.run()
            done(spawn)
            return
        if not self._threads:
            self._start_threads()
        self._begun.append((spawn, done))
        self._running += 1
        self._wanted.put(spawn)
        if len(self._begun) >= _MOST_AT_ONCE:
            self._finish()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Processes that are started in this context are started in parallel.

        Their ``done`` is called in the order of the calls of :meth:`start`.
        """
        if self._is_gathering:
            yield
            return
        self._is_gathering = True
        try:
            yield
        finally:
            self._is_gathering = False
            self._finish()

    def _finish(self) -> None:
        while self._running:
            try:
                self._wanted.get_nowait().run()
            except queue.Empty:
                self._finished.get()
            self._running -= 1
        begun, self._begun = self._begun, []
        for spawn, done in begun:
            done(spawn)

    def _start_threads(self) -> None:
        # Signals are handled by the main thread only: new threads inherit its mask, which blocks all for the moment.
        before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            for number in range(_HELPERS):
                thread = threading.Thread(target=self._help, name=f"spawn-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:
            return  # the system allows no more threads: with fewer, or none, starts take longer
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _help(self) -> None:
        while True:
            spawn = self._wanted.get()
            spawn.run()
            self._finished.put(spawn)
