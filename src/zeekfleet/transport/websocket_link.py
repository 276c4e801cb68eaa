"""A connection over a WebSocket, of either side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from zeekfleet.errors import TransportError
from zeekfleet.transport.endpoint import Peer
from zeekfleet.transport.frames import PING, PONG, TEXT, client_frame, server_frame
from zeekfleet.transport.link import Link
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.outgoing import Outgoing
from zeekfleet.transport.settings import TransportSettings

WebSocket = web.WebSocketResponse[Any] | aiohttp.ClientWebSocketResponse[Any]

_REASON_MAX = 123


class WebSocketLink(Link):
    """Frames are read through aiohttp and written straight to the transport.

    Pings go out at intervals; a peer that has not answered one for too long is cut off.

    Args:
        peer: who is on the other side.
        hears: what to send there (see :class:`Link`).
        socket: the upgraded connection, which leaves pings to us and text undecoded.
        transport: what it runs over.
        settings: limits and times.
        metrics: where to count.
        released: closes what the connection was made with.
    """

    def __init__(
        self,
        peer: Peer,
        hears: tuple[str, ...],
        socket: WebSocket,
        transport: asyncio.Transport,
        settings: TransportSettings,
        metrics: TransportMetrics,
        released: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(peer, hears)
        self._socket = socket
        self._transport = transport
        self._settings = settings
        self._metrics = metrics
        self._released = released
        self._framed = client_frame if peer.dialled else server_frame
        self._outgoing = Outgoing(transport, settings.queue_frames, settings.queue_bytes)
        self._closing = asyncio.Lock()
        self._closed = False
        self._held = False
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._ping_timer = self._schedule_ping()
        self._probe_timer: asyncio.TimerHandle | None = None

    def send(self, frame: bytes) -> None:
        self._write(TEXT, frame)

    async def receive(self) -> bytes | None:
        while True:
            message = await self._socket.receive()
            match message.type:
                case WSMsgType.TEXT:
                    data: bytes = message.data
                    return data
                case WSMsgType.BINARY:
                    return None
                case WSMsgType.PING:
                    self._write(PONG, message.data)
                case WSMsgType.PONG:
                    self._heard = self._loop.time()
                case WSMsgType.CLOSE:
                    said = f": {message.extra}" if message.extra else ""
                    raise TransportError(f"closed by peer (code {message.data}){said}")
                case WSMsgType.ERROR:
                    self.faulty = True
                    raise TransportError(f"connection failed: {message.data}")
                case _:
                    raise TransportError("connection lost")

    def hold(self, held: bool) -> None:
        self._held = held
        self._heard = self._loop.time()

    def probe(self, timeout: float) -> None:
        if self._probe_timer is not None or self._closed:
            return
        asked = self._loop.time()
        self._write(PING, b"")
        self._probe_timer = self._loop.call_at(asked + timeout, self._probed, asked, timeout)

    def _probed(self, asked: float, timeout: float) -> None:
        self._probe_timer = None
        late = self._loop.time() - (asked + timeout)
        if self._heard < asked and not self._held:
            if late > timeout:  # we were stopped ourselves, and have read nothing
                self.probe(timeout)
                return
            self._metrics.silent_peers += 1
            self.cut(f"no pong within {timeout:g} s")

    def cut(self, reason: str) -> None:
        self.faulty = True
        self.reason = self.reason or reason
        self._cancel_timers()
        self._abort()

    async def close(self, code: int, reason: str) -> None:
        async with self._closing:
            if self._closed:
                return
            self._closed = True
            self.reason = self.reason or reason
            self._cancel_timers()
            try:
                async with asyncio.timeout(self._settings.close_timeout):
                    await self._socket.close(code=code, message=reason.encode()[:_REASON_MAX])
            except TimeoutError:
                self.reason = self.reason or "no answer to the close"
            finally:
                self._abort()
                if self._released is not None:
                    await self._released()

    def _cancel_timers(self) -> None:
        self._ping_timer.cancel()
        if self._probe_timer is not None:
            self._probe_timer.cancel()

    def _abort(self) -> None:
        # In early releases of Python 3.11 a TLS transport closed twice has let go of what it would abort.
        with contextlib.suppress(AttributeError):
            self._transport.abort()

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._transport.is_closing():
            return
        if not self._outgoing.write(self._framed(opcode, payload)):
            self._metrics.slow_peers += 1
            self.cut("peer does not read: its queue is full")

    def _schedule_ping(self) -> asyncio.TimerHandle:
        self._ping_due = self._loop.time() + self._settings.ping_interval
        return self._loop.call_at(self._ping_due, self._ping)

    def _ping(self) -> None:
        now = self._loop.time()
        # Time in which we did not read says nothing about the peer: held back, or late ourselves.
        self._heard = now if self._held else self._heard + (now - self._ping_due)
        if now - self._heard > self._settings.pong_timeout:
            self._metrics.silent_peers += 1
            self.cut(f"no pong within {self._settings.pong_timeout:g} s")
            return
        self._write(PING, b"")
        if not self._transport.is_closing():
            self._ping_timer = self._schedule_ping()
