"""A byte stream that becomes a WebSocket connection, of either side."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections import deque

from zeekfleet.errors import TransportError, WebSocketError
from zeekfleet.transport import frames
from zeekfleet.transport.frames import CLOSE, PONG, FrameReader
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.outgoing import Outgoing
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.upgrade import Head, HeadReader

READ_AHEAD = 128 * 1024
"""Bytes of received messages that may wait to be taken before the socket is no longer read."""

MESSAGE_COST = 128
"""Bytes that a waiting message counts beside its content."""


class WebSocketStream(asyncio.Protocol, abc.ABC):
    """One connection, from its first byte to its last.

    Pings are answered here. Other messages wait until :meth:`receive` takes them.

    Args:
        settings: limits and times.
        metrics: where to count.
        dialled: whether we made the connection, and so mask what we send.

    Attributes:
        heard: when the peer last answered a ping, in the loop's time.
        faulty: whether the connection ended by the peer's fault.
    """

    transport: asyncio.Transport

    def __init__(self, settings: TransportSettings, metrics: TransportMetrics, *, dialled: bool) -> None:
        self.faulty = False
        self._settings = settings
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self.heard = self._loop.time()
        self._framed = frames.client_frame if dialled else frames.server_frame
        self._head: HeadReader | None = HeadReader()
        self._reader = FrameReader(settings.frame_bytes, masked=not dialled)
        self._is_open = False
        self._is_close_sent = False
        self._is_close_received = False
        self._messages: deque[bytes | None] = deque()
        self._waiting = 0
        self._is_paused = False
        self._taker: asyncio.Future[None] | None = None
        self._end = ""
        self._farewell: bytes | None = None
        self._gone = asyncio.Event()

    @abc.abstractmethod
    def opened(self, head: Head) -> bool:
        """Whether we talk WebSocket, now that the other side's half of the upgrade has arrived.

        Raises:
            TransportError: it is not as it should be.
        """

    @abc.abstractmethod
    def not_opened(self, problem: str) -> None:
        """The other side does not speak as it should before the upgrade."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy: a stream's transport is one
        self.transport = transport
        self._outgoing = Outgoing(transport, self._settings.queue_frames, self._settings.queue_bytes)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            data = self._open(self._head, data)
        try:
            if self._is_open:
                for opcode, content in self._reader.receive(data):
                    self._arrived(opcode, content)
                    if not self._is_open:
                        break
        except WebSocketError as error:
            self.faulty = True
            why = f"connection failed: {error} (closed with {error.code})"
            self._read_no_more(frames.close_content(error.code, str(error)), why)

    def eof_received(self) -> None:
        """The peer sends no more; asyncio then closes the connection."""
        self._ended("connection lost")

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_open = False
        self._gone.set()
        self._ended("connection lost")

    def send(self, opcode: int, content: bytes) -> None:
        """Send a frame without waiting; a peer that does not read is cut off."""
        if self._is_close_sent or self.transport.is_closing():
            return
        if not self._outgoing.write(self._framed(opcode, content)):
            self._metrics.slow_peers += 1
            self.faulty = True
            self._ended("peer does not read: its queue is full")
            self.abort()

    async def receive(self) -> bytes | None:
        """The next text message; None for a binary one.

        Raises:
            TransportError: the connection is over; the error says why.
        """
        while not self._messages:
            if self._end:
                self._part()
                raise TransportError(self._end)
            self._taker = self._loop.create_future()
            await self._taker
        message = self._messages.popleft()
        self._waiting -= _cost(message)
        if self._is_paused and self._waiting <= READ_AHEAD:
            self._is_paused = False
            self.transport.resume_reading()
        return message

    async def close(self, code: int, reason: str) -> bool:
        """Close within the time for that; False if the peer did not answer.

        What was sent before still arrives if the peer reads; what it sends is not taken any more.
        """
        if self._is_open:
            self._send_close(frames.close_content(code, reason))
        self._ended("connection closed")
        self._part()
        self._messages.clear()
        self.transport.resume_reading()
        try:
            async with asyncio.timeout(self._settings.close_timeout):
                await self._gone.wait()
        except TimeoutError:
            return False
        finally:
            self.abort()
        return True

    def end_writing(self) -> None:
        """Send no more, and wait for the peer to close.

        With unread bytes in the socket, closing it would send a reset, which may overtake what we have written.
        """
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:
            self.abort()  # the peer has gone

    def abort(self) -> None:
        """Close the connection at once."""
        # In early releases of Python 3.11 a TLS transport closed twice has let go of what it would abort.
        with contextlib.suppress(AttributeError):
            self.transport.abort()

    def _open(self, reader: HeadReader, data: bytes) -> bytes:
        """Read the upgrade, and give what comes behind it."""
        try:
            head = reader.receive(data)
            if head is None:
                return b""
            self._head = None
            self._is_open = self.opened(head)
        except TransportError as error:
            self._head = None
            self.not_opened(str(error))
        return reader.rest

    def _arrived(self, opcode: int, content: bytes) -> None:
        match opcode:
            case frames.TEXT:
                self._take(content)
            case frames.BINARY:
                self._take(None)
            case frames.PING:
                self.send(PONG, content)
            case frames.PONG:
                self.heard = self._loop.time()
            case frames.CLOSE:
                code, said = frames.close_told(content)
                self._is_close_received = True
                self._read_no_more(content[:2], f"closed by peer (code {code})" + (f": {said}" if said else ""))

    def _take(self, message: bytes | None) -> None:
        if self._end:
            return
        self._messages.append(message)
        self._waiting += _cost(message)
        if self._waiting > READ_AHEAD and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        self._wake()

    def _read_no_more(self, farewell: bytes, why: str) -> None:
        """Nothing that still comes matters; what came before is taken, and answered, before we say farewell."""
        self._is_open = False
        self._farewell = farewell
        self._ended(why)
        if self._is_close_sent:
            self._part()

    def _part(self) -> None:
        if self._farewell is None:
            return
        self._send_close(self._farewell)
        self._farewell = None
        if self._is_close_received:
            self.transport.close()
        else:
            self.end_writing()

    def _send_close(self, content: bytes) -> None:
        self.send(CLOSE, content)
        self._is_close_sent = True

    def _ended(self, why: str) -> None:
        """No further message is taken; the first reason counts."""
        self._end = self._end or why
        self._wake()

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


def _cost(message: bytes | None) -> int:
    return MESSAGE_COST if message is None else MESSAGE_COST + len(message)
