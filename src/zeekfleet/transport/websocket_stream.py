"""A byte stream that becomes a WebSocket connection, for both sides.

The library ``websockets`` encodes and decodes; we use its part without I/O. This module
decides when the socket is read, and what happens to a peer that does not read.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
from collections import deque

from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF, Event, Protocol, Side, State

from zeekfleet.errors import TransportError
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.outgoing import Outgoing
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unfinished_frames import UnfinishedFrames
from zeekfleet.transport.whole_texts import size_of, whole_texts

LIBRARY = logging.getLogger("websockets")
LIBRARY.setLevel(logging.ERROR)
"""The library logs every connection at lower levels; we log connections ourselves."""

READ_AHEAD = 128 * 1024
"""If so many bytes of received messages wait to be taken, the socket is not read any more."""

MESSAGE_COST = 128
"""The bytes that a waiting message counts in addition to its content."""

END_OF_HEAD = b"\r\n\r\n"

HEAD_MAX = 16 * 1024
"""Bytes of the head of an HTTP message. The library would take 128 lines of 8 KiB, which is a megabyte a connection."""

REASON_MAX = 123
"""Bytes of the reason in a close frame."""


_MAYBE_GONE = contextlib.suppress(AttributeError)
"""In early releases of Python 3.11, a transport of TLS that was closed twice has let go of what its methods use."""


class WebSocketStream(asyncio.Protocol, abc.ABC):
    """One connection, from its first byte to its last.

    Pings are answered by the library. Other messages wait until :meth:`receive` takes them.

    Args:
        protocol: the library's state of this connection.
        settings: limits and times.
        metrics: the bus's counters.
        unfinished: limits the memory of unfinished frames of all connections.

    Attributes:
        frame_bytes: the largest message that is accepted.
        heard: when the peer last answered a ping, in the loop's time.
        faulty: whether the connection ended by the peer's fault.
    """

    transport: asyncio.Transport

    def __init__(
        self, protocol: Protocol, settings: TransportSettings, metrics: TransportMetrics, unfinished: UnfinishedFrames
    ) -> None:
        self.faulty = False
        self._protocol = protocol
        self._is_masked = protocol.side is Side.CLIENT
        self._settings = settings
        self._metrics = metrics
        self._unfinished = unfinished
        self.frame_bytes = settings.frame_bytes
        self._has_taken = False
        """Whether a message has arrived in full since ``unfinished`` was told last."""
        self._held = 0
        """Bytes of a message that has not arrived in full yet, as noted in ``unfinished``."""
        self._loop = asyncio.get_running_loop()
        self.heard = self._loop.time()
        self._is_upgraded = False
        self._has_head = False
        self._end_of_head = b""
        self._head_bytes = 0
        self._unread = 0
        """Bytes in which the library has not found a whole frame yet; 0: the next byte begins a frame."""
        self._fragments: bytearray | None = None
        """The parts of a message that has not arrived in full; None outside of such a message."""
        self._fragmented = Opcode.TEXT
        self._messages: deque[bytes | None] = deque()
        self._waiting = 0
        self._is_paused = False
        self._taker: asyncio.Future[None] | None = None
        self._end = ""
        self._goodbye: list[bytes] = []
        self._gone = asyncio.Event()

    def accept_up_to(self, size: int) -> None:
        """Accept messages of at most this size."""
        self.frame_bytes = self._protocol.max_message_size = size

    @abc.abstractmethod
    def shake_hands(self, event: Request | Response) -> None:
        """The other side's half of the upgrade has arrived."""

    @abc.abstractmethod
    def cannot_shake_hands(self, error: Exception) -> None:
        """The other side has violated the protocol before the upgrade."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy: a stream's transport is one
        self.transport = transport
        self._outgoing = Outgoing(transport, self._settings.queue_frames, self._settings.queue_bytes)

    def data_received(self, data: bytes) -> None:
        behind = b""
        if not self._is_upgraded and not self._has_head:
            # Frames that arrive with the upgrade wait until it is answered: a pong must not be sent before the answer.
            self._head_bytes += len(data)
            data, behind = self._split_at_end_of_head(data)
            if self._head_bytes - len(behind) > HEAD_MAX:
                self.cannot_shake_hands(TransportError(f"an HTTP head of more than {HEAD_MAX} bytes"))
                self.flush()
                return
        elif not self._unread and self._fragments is None and self._protocol.state is State.OPEN:
            end = 0
            for message, end in whole_texts(data, not self._is_masked, self.frame_bytes):  # noqa: B007
                self._take(message)
            if end == len(data):
                return
            data = data[end:]
        if self._is_upgraded:
            self._unread += len(data)
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._happened(event)
        if not self._is_upgraded:
            if (error := self._protocol.handshake_exc) is not None:
                self.cannot_shake_hands(error)
            self._is_upgraded = self._protocol.state is not State.CONNECTING
        if (broken := self._protocol.parser_exc) is not None and not self._end:
            self.faulty = True
            code = "" if self._protocol.close_sent is None else f" (closed with {int(self._protocol.close_sent.code)})"
            self._ended(f"connection failed: {_reason(broken)}{code}")
        self._note_unfinished()
        if self._end and self._messages:
            # Messages that arrived before are taken and answered before we send the close frame.
            self._goodbye += self._protocol.data_to_send()
        else:
            self.flush()
        if behind:
            self.data_received(behind)

    def _note_unfinished(self) -> None:
        held = self._unread + len(self._fragments or b"") if self._is_upgraded and not self._end else 0
        if held or self._held:
            self._held = held
            self._unfinished.hold(self, held, self._cut_unfinished, is_new=self._has_taken)
        self._has_taken = False

    def _cut_unfinished(self) -> None:
        self._metrics.frames_abandoned += 1
        self._held = 0
        self.faulty = True
        self._drop_unfinished()
        self._ended("its message has not arrived in full while many others had begun one")
        self.abort()

    def _drop_unfinished(self) -> None:
        """Give back the memory of what has not arrived in full; the library's parser would keep it until the garbage
        collector finds it."""
        self._protocol.reader.discard()
        self._fragments = None

    def eof_received(self) -> None:
        """The peer sends no more; asyncio then closes the connection."""
        self._ended("connection lost")

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._ended("connection lost")
        self._drop_unfinished()
        self._note_unfinished()

    def send(self, content: bytes) -> None:
        """Send a text message without waiting; a peer that does not read is cut off.

        Until our close frame is sent, messages that the peer sent before its own close frame are still answered.
        """
        if self._protocol.state is State.OPEN or self._goodbye:
            # As the library's ``send_text`` does, in half the time: this is what happens most.
            self._write(Frame(Opcode.TEXT, content).serialize(mask=self._is_masked))

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self.flush()

    def flush(self) -> None:
        """Write the bytes that the library wants to send."""
        for data in self._protocol.data_to_send():
            self._write(data)

    def _write(self, data: bytes) -> None:
        if data == SEND_EOF:
            self.end_writing()
        elif not self.transport.is_closing() and not self._outgoing.write(data):
            self._metrics.slow_peers += 1
            self.faulty = True
            self._ended("peer does not read: its queue is full")
            self.abort()

    def _say_goodbye(self) -> None:
        """Send the close frame, now that all messages from before the end have been taken."""
        goodbye, self._goodbye = self._goodbye, []
        for data in goodbye:
            self._write(data)
        if self._protocol.close_rcvd is not None:
            self.transport.close()

    async def receive(self) -> bytes | None:
        """The next text message; None for a binary one.

        Raises:
            TransportError: the connection is over; the error says why.
        """
        while not self._messages:
            if self._end:
                self._say_goodbye()
                raise TransportError(self._end)
            self._taker = self._loop.create_future()
            await self._taker
        message = self._messages.popleft()
        self._waiting -= _cost(message)
        if self._is_paused and self._waiting <= READ_AHEAD:
            self._is_paused = False
            self._resume_reading()
        return message

    async def close(self, code: int, reason: str) -> bool:
        """Close with a close frame, within a time limit. Returns False if the peer did not answer it.

        What was sent before still arrives if the peer reads. Messages of the peer are not taken any more.
        """
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason.encode()[:REASON_MAX].decode(errors="ignore"))
            self.flush()
        self._ended("connection closed")
        self._messages.clear()
        self._say_goodbye()
        self._resume_reading()
        try:
            async with asyncio.timeout(self._settings.close_timeout):
                await self._gone.wait()
        except TimeoutError:
            return False
        finally:
            self.abort()
        return True

    def abort(self) -> None:
        """Close the connection at once."""
        with _MAYBE_GONE:
            self.transport.abort()

    def _resume_reading(self) -> None:
        with _MAYBE_GONE:
            self.transport.resume_reading()

    def end_writing(self) -> None:
        """Send no more. If both close frames were exchanged, close the socket; else wait until the peer closes it.

        If there are unread bytes in the socket, closing it would send a reset, which may overtake what we have written.
        """
        if self._protocol.close_rcvd is not None or not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:
            self.abort()  # the peer has gone

    def _split_at_end_of_head(self, data: bytes) -> tuple[bytes, bytes]:
        seen = self._end_of_head + data
        end = seen.find(END_OF_HEAD)
        if end < 0:
            self._end_of_head = seen[1 - len(END_OF_HEAD) :]
            return data, b""
        self._has_head = True
        cut = end + len(END_OF_HEAD) - len(self._end_of_head)
        return data[:cut], data[cut:]

    def _happened(self, event: Event) -> None:
        if not isinstance(event, Frame):
            self.shake_hands(event)
            return
        self._unread -= size_of(event, not self._is_masked)
        opcode = event.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            self._fragmented = opcode
            self._take_part(event)
        elif opcode is Opcode.CONT:
            self._take_part(event)
        elif opcode is Opcode.PONG:
            self.heard = self._loop.time()
        elif opcode is Opcode.CLOSE:
            close = Close.parse(event.data)
            self._ended(f"closed by peer (code {int(close.code)})" + (f": {close.reason}" if close.reason else ""))

    def _take_part(self, frame: Frame) -> None:
        data = bytes(frame.data)
        if not frame.fin or self._fragments is not None:
            self._fragments = self._fragments or bytearray()
            self._fragments += data
            if not frame.fin:
                return
            data, self._fragments = bytes(self._fragments), None
        self._take(data if self._fragmented is Opcode.TEXT else None)

    def _take(self, message: bytes | None) -> None:
        if self._end:
            return
        self._has_taken = True
        self._messages.append(message)
        self._waiting += _cost(message)
        if self._waiting > READ_AHEAD and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        self._wake()

    def _ended(self, why: str) -> None:
        """Take no further messages. If this is called several times, the first reason counts."""
        self._end = self._end or why
        self._wake()

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


def _reason(error: Exception) -> str:
    return "a message that is too large" if isinstance(error, PayloadTooBig) else str(error)


def _cost(message: bytes | None) -> int:
    return MESSAGE_COST if message is None else MESSAGE_COST + len(message)
