"""A link over a WebSocket connection, for both sides."""

from __future__ import annotations

import asyncio

from zeekfleet.errors import TransportError
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.link import Link
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket_stream import WebSocketStream


class WebSocketLink(Link):
    """Sends pings at intervals, and cuts off a peer that does not answer them for too long.

    Args:
        peer: the other side.
        subscriptions: which events to send there (see :class:`Link`).
        stream: the upgraded connection.
        settings: limits and times.
        metrics: where to count.
    """

    def __init__(
        self,
        peer: Peer,
        subscriptions: tuple[str, ...],
        stream: WebSocketStream,
        settings: TransportSettings,
        metrics: TransportMetrics,
    ) -> None:
        super().__init__(peer, subscriptions)
        self._stream = stream
        self._settings = settings
        self._metrics = metrics
        self._closing = asyncio.Lock()
        self._closed = False
        self._held = False
        self._loop = asyncio.get_running_loop()
        self._stream.heard = self._loop.time()
        self._ping_timer = self._schedule_ping()
        self._probe_timer: asyncio.TimerHandle | None = None

    def send(self, frame: bytes) -> None:
        self._stream.send(frame)

    async def receive(self) -> bytes | None:
        try:
            return await self._stream.receive()
        except TransportError:
            self.faulty = self.faulty or self._stream.faulty
            raise

    def hold(self, held: bool) -> None:
        self._held = held
        self._stream.heard = self._loop.time()

    def probe(self, timeout: float) -> None:
        if self._probe_timer is not None or self._closed:
            return
        asked = self._loop.time()
        self._stream.ping()
        self._probe_timer = self._loop.call_at(asked + timeout, self._probed, asked, timeout)

    def _probed(self, asked: float, timeout: float) -> None:
        self._probe_timer = None
        late = self._loop.time() - (asked + timeout)
        if self._stream.heard < asked and not self._held:
            if late > timeout:  # our own process was suspended, and has read nothing
                self.probe(timeout)
                return
            self._metrics.silent_peers += 1
            self.cut(f"no pong within {timeout:g} s")

    def cut(self, reason: str) -> None:
        self.faulty = True
        self.reason = self.reason or reason
        self._cancel_timers()
        self._stream.abort()

    async def close(self, code: int, reason: str) -> None:
        async with self._closing:
            if self._closed:
                return
            self._closed = True
            self.reason = self.reason or reason
            self._cancel_timers()
            if not await self._stream.close(code, reason):
                self.reason = self.reason or "no answer to the close"

    def _cancel_timers(self) -> None:
        self._ping_timer.cancel()
        if self._probe_timer is not None:
            self._probe_timer.cancel()

    def _schedule_ping(self) -> asyncio.TimerHandle:
        self._ping_due = self._loop.time() + self._settings.ping_interval
        return self._loop.call_at(self._ping_due, self._ping)

    def _ping(self) -> None:
        now = self._loop.time()
        # While we did not read, because we were held back or our loop was late, the peer's silence meant nothing.
        heard = now if self._held else self._stream.heard + (now - self._ping_due)
        self._stream.heard = heard
        if now - heard > self._settings.pong_timeout:
            self._metrics.silent_peers += 1
            self.cut(f"no pong within {self._settings.pong_timeout:g} s")
            return
        self._stream.ping()
        self._ping_timer = self._schedule_ping()
