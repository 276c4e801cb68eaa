"""One supervisor's connection to the stem."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from zeekfleet.errors import StemError
from zeekfleet.stem.protocol import MAX_FRAME, FrameReader, Message, append

MAX_UNSENT = 2 * MAX_FRAME
"""Bytes kept for a supervisor that does not read. If there are more, it is disconnected."""

_CHUNK = 256 * 1024
_ENOUGH = 16384
"""So many bytes are not held back any longer: the supervisor can read them while the stem is still busy."""
_LAST_WORDS_TIMEOUT = 2.0


class Connection:
    """Frames in, frames out, never blocking.

    Args:
        stream: the accepted socket.
        selector: the loop's selector.
        received: takes the body of each frame.
        closed: called once when the connection has ended.
    """

    def __init__(
        self,
        stream: socket.socket,
        selector: selectors.BaseSelector,
        received: Callable[[Connection, bytes], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self.welcomed = False
        self._socket = stream
        self._selector = selector
        self._received = received
        self._closed = closed
        self._reader = FrameReader()
        self._unsent = bytearray()
        self._blocked = False
        stream.setblocking(False)
        selector.register(stream, selectors.EVENT_READ, self._ready)

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._socket.fileno() >= 0

    @property
    def should_flush(self) -> bool:
        """Whether so much is gathered that it should be flushed now."""
        return len(self._unsent) >= _ENOUGH and not self._blocked

    def send(self, message: Message) -> None:
        """Gather a message for the next :meth:`flush`."""
        if not self.is_open:
            return
        append(message, self._unsent)
        if len(self._unsent) > MAX_UNSENT:
            self.close()

    def flush(self) -> None:
        """Send what has been gathered; the loop calls this before it sleeps."""
        if self._unsent and not self._blocked:
            self._flush()

    def finish(self) -> None:
        """Send what is left, waiting for a short time at most, and close."""
        if self.is_open and self._unsent:
            self._socket.settimeout(_LAST_WORDS_TIMEOUT)
            try:
                self._socket.sendall(self._unsent)
            except OSError:
                self._unsent.clear()
        self.close()

    def close(self) -> None:
        """Drop it; safe to call twice."""
        if self.is_open:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._closed(self)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ and self.is_open:
            self._read()

    def read_all(self) -> None:
        """Read all that has arrived."""
        while self.is_open and self._read():
            continue

    def _read(self) -> bool:
        """Read what has arrived, up to a limit. Returns whether there was anything."""
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        try:
            for body in self._reader.feed(data):
                self._received(self, body)
        except StemError:
            self.close()
        return True

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        del self._unsent[:sent]
        if bool(self._unsent) != self._blocked:
            self._blocked = bool(self._unsent)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._blocked else 0)
            self._selector.modify(self._socket, events, self._ready)
