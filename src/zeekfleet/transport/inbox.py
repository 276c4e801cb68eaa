"""The bounded queue between the connections of a bus and its one reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from zeekfleet.transport.bus import BusEvent
from zeekfleet.transport.metrics import TransportMetrics

EXPECTANT_FACTOR = 16
"""By which factor the limits are larger while a request is waiting for its response.

A reader that awaits a response reads nothing else; the response may stand
behind frames that fill the queue. So connections are read on, up to this.
"""


class Inbox(AsyncIterator[BusEvent]):
    """What was received, in order.

    Connections wait for :meth:`room` before they read their sockets, so a reader
    that stalls holds back the senders.

    Args:
        count: how many events may wait.
        size: how many bytes their frames may have together.
        metrics: where to count.
    """

    def __init__(self, count: int, size: int, metrics: TransportMetrics) -> None:
        self._count, self._size = count, size
        self._metrics = metrics
        self._items: deque[tuple[BusEvent, int]] = deque()
        self._waiting_bytes = 0
        self._expectant = False
        self._closed = False
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def has_room(self) -> bool:
        """Whether connections may read."""
        return self._room.is_set()

    async def room(self) -> None:
        """Wait until connections may read."""
        await self._room.wait()

    def put(self, received: BusEvent, size: int = 0) -> None:
        """Add an event; ``size`` is the size of its frame in bytes."""
        if self._closed:
            return
        self._items.append((received, size))
        self._waiting_bytes += size
        self._arrived.set()
        self._measure()

    def expect(self, expectant: bool) -> None:
        """Say whether requests are waiting for their responses."""
        self._expectant = expectant
        self._measure()

    def close(self) -> None:
        """Take no more events; the reader gets those that are there, and then the end."""
        self._closed = True
        self._arrived.set()
        self._measure()

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> BusEvent:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        received, size = self._items.popleft()
        self._waiting_bytes -= size
        self._measure()
        return received

    def _measure(self) -> None:
        factor = EXPECTANT_FACTOR if self._expectant else 1
        waiting = self._metrics.waiting_events = len(self._items)
        if self._closed or (waiting < self._count * factor and self._waiting_bytes < self._size * factor):
            self._room.set()
        else:
            self._room.clear()
