"""The bounded queue between the connections of a bus and its one reader."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator

from zeekfleet.transport.bus import BusEvent
from zeekfleet.transport.metrics import TransportMetrics

EXPECTANT_FACTOR = 16
"""The limits are larger by this factor while a request is waiting for its response.

A reader that awaits a response reads nothing else, and the response may be
behind frames that fill the queue. So connections are still read, up to this limit.
"""


class Inbox(AsyncIterator[BusEvent]):
    """The events that were received. Peers take turns, so that a peer that sends much does not delay the others.

    Events of one peer stay in order. Connections wait for :meth:`room` before they read their sockets, so senders
    have to wait if the reader stalls, and a peer that sends much holds up only itself.

    Args:
        count: how many events may wait.
        size: how many bytes their frames may have together.
        each: how many events of one peer may wait.
        metrics: where to count.
    """

    def __init__(self, count: int, size: int, each: int, metrics: TransportMetrics) -> None:
        self._count, self._size, self._each = count, size, each
        self._metrics = metrics
        self._queues: OrderedDict[int, deque[tuple[BusEvent, int]]] = OrderedDict()
        """The events of each peer; the first peer has its turn next."""
        self._waiting = 0
        self._waiting_bytes = 0
        self._factor = 1
        self._closed = False
        self._arrived = asyncio.Event()
        self._held_back: dict[int, asyncio.Future[None]] = {}

    def has_room(self, peer: int) -> bool:
        """Whether the connection of this peer may read.

        If no event of this peer is waiting, it may read one even if others have filled the queue, unless there are too
        many bytes.
        """
        if self._closed:
            return True
        if self._waiting_bytes >= self._size * self._factor:
            return False
        queue = self._queues.get(peer)
        return not queue or (len(queue) < self._each * self._factor and self._waiting < self._count * self._factor)

    async def room(self, peer: int) -> None:
        """Wait until the connection of this peer may read."""
        while not self.has_room(peer):
            waiter = self._held_back[peer] = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                self._held_back.pop(peer, None)

    def put(self, received: BusEvent, size: int = 0) -> None:
        """Add an event; ``size`` is the size of its frame in bytes."""
        if self._closed:
            return
        self._queues.setdefault(received.peer.id, deque()).append((received, size))
        self._count_in(1, size)
        self._arrived.set()

    def expect(self, expectant: bool) -> None:
        """Note whether requests are waiting for their responses."""
        self._factor = EXPECTANT_FACTOR if expectant else 1
        self._let_go(*self._held_back)

    def close(self) -> None:
        """Accept no more events. The reader gets the remaining ones, and then the end."""
        self._closed = True
        self._arrived.set()
        self._let_go(*self._held_back)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> BusEvent:
        while not self._queues:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        peer, queue = next(iter(self._queues.items()))
        received, size = queue.popleft()
        if queue:
            self._queues.move_to_end(peer)
        else:
            del self._queues[peer]
        was_full = self._is_full
        self._count_in(-1, -size)
        if was_full and not self._is_full:
            self._let_go(*self._held_back)
        elif len(queue) <= self._each * self._factor // 2:  # not at each event, so that it reads several at a time
            self._let_go(peer)
        return received

    @property
    def _is_full(self) -> bool:
        """Whether too much is waiting, counting all peers."""
        return self._waiting >= self._count * self._factor or self._waiting_bytes >= self._size * self._factor

    def _count_in(self, number: int, size: int) -> None:
        self._waiting += number
        self._waiting_bytes += size
        self._metrics.waiting_events = self._waiting

    def _let_go(self, *peers: int) -> None:
        """Let the connections of these peers continue to read, if they may."""
        for peer in peers:
            waiter = self._held_back.get(peer)
            if waiter is not None and not waiter.done() and self.has_room(peer):
                waiter.set_result(None)
