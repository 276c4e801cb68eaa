"""The event loop of a simulated node: descriptors, timers and signals, in one thread."""

from __future__ import annotations

import selectors
import signal
import socket
import time
from collections.abc import Callable

from zeekfleet.system.timers import Timers

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """Waits for events and calls callbacks, until :meth:`stop`.

    Attributes:
        timers: set timers with ``timers.after``; seconds of ``time.monotonic``.
    """

    def __init__(self) -> None:
        self.timers = Timers(time.monotonic)
        self._selector = selectors.DefaultSelector()
        self._stopped = False
        self._signals, self._wakeup = socket.socketpair()
        for end in (self._signals, self._wakeup):
            end.setblocking(False)
        self._handlers: dict[int, Callable[[], None]] = {}
        self.watch(self._signals, READ, self._signalled)

    def watch(self, descriptor: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        """Call ``callback`` with the events whenever the descriptor is ready. Replaces a former watch of it."""
        if descriptor in self._selector.get_map():
            self._selector.modify(descriptor, events, callback)
        else:
            self._selector.register(descriptor, events, callback)

    def forget(self, descriptor: socket.socket) -> None:
        """Stop watching a descriptor; call this before it is closed."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def on_signal(self, number: signal.Signals, callback: Callable[[], None]) -> None:
        """Call ``callback`` from the loop when the signal has come."""
        self._handlers[number] = callback
        signal.set_wakeup_fd(self._wakeup.fileno())
        signal.signal(number, lambda _number, _frame: None)

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._stopped = True

    def run(self) -> None:
        """Run until stopped, or until a callback raises an exception."""
        while not self._stopped:
            for key, events in self._selector.select(self.timers.wait()):
                # An earlier callback of this round may have closed the descriptor.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(events)
            self.timers.run_due()

    def _signalled(self, _: int) -> None:
        for number in self._signals.recv(4096):
            if number in self._handlers:
                self._handlers[number]()
