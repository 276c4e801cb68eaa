"""Births side by side: most of a start is waiting for the child to execute its program."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zeekfleet.stem.birth import Birth

_HELPERS = 3
"""Threads beside our own. Nobody wakes them while there is nothing to start."""

_MOST_AT_ONCE = 32
"""Births begun and not taken note of yet: each holds two descriptors."""

Done = Callable[[Birth], None]


class Crew:
    """Starts processes: one at once, or several side by side."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._wanted: queue.SimpleQueue[Birth] = queue.SimpleQueue()
        self._happened: queue.SimpleQueue[Birth] = queue.SimpleQueue()
        self._begun: list[tuple[Birth, Done]] = []
        self._elsewhere = 0
        self._is_gathering = False

    def start(self, birth: Birth, done: Done) -> None:
        """Have it happen; ``done`` is called in this thread, before this returns or when :meth:`together` ends."""
        if not self._is_gathering:
            birth.happen()
            done(birth)
            return
        if not self._threads:
            self._hire()
        self._begun.append((birth, done))
        self._elsewhere += 1
        self._wanted.put(birth)
        if len(self._begun) >= _MOST_AT_ONCE:
            self._finish()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is started within happens side by side, and is told in the order of its start."""
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
        while self._elsewhere:
            try:
                self._wanted.get_nowait().happen()
            except queue.Empty:
                self._happened.get()
            self._elsewhere -= 1
        begun, self._begun = self._begun, []
        for birth, done in begun:
            done(birth)

    def _hire(self) -> None:
        # Signals are for the main thread; new threads have its mask.
        before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            for number in range(_HELPERS):
                thread = threading.Thread(target=self._help, name=f"births-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:
            return  # no more threads to be had: with fewer, or none, it takes longer
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _help(self) -> None:
        while True:
            birth = self._wanted.get()
            birth.happen()
            self._happened.put(birth)
