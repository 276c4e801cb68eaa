"""A bus that tells nothing of connections, as one over a message broker would not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from zeekfleet.broker.events.base import Event, Request
from zeekfleet.broker.generations import SECOND, Generation
from zeekfleet.transport.bus import Bus, BusEvent, Delivery, Peer, PeerAdded, R
from zeekfleet.transport.connections import ConnectedBus


class BareBus(Bus):
    """What remains of a bus if nobody hears of its connections.

    Args:
        connected: carries the events.
        broker: host and port to dial; None if others dial.
    """

    def __init__(self, connected: ConnectedBus, broker: tuple[str, int] | None = None) -> None:
        self.connected = connected
        self._broker = broker
        self._is_reached = asyncio.Event()
        self.id = connected.id
        self.name = connected.name

    async def __aenter__(self) -> Self:
        await self.connected.__aenter__()
        if self._broker is not None:
            self.connected.dial(*self._broker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.connected.__aexit__(kind, error, trace)

    def subscribe(self, prefix: str) -> None:
        self.connected.subscribe(prefix)

    def publish(self, topic: str, event: Event, generation: Generation = SECOND, *, to: Peer | None = None) -> None:
        self.connected.publish(topic, event, generation, to=to)

    async def request(
        self, topic: str, event: Request[R], timeout: float, generation: Generation = SECOND, *, to: Peer | None = None
    ) -> R:
        await self._is_reached.wait()
        return await self.connected.request(topic, event, timeout, generation, to=to)

    async def events(self) -> AsyncIterator[BusEvent]:
        async for received in self.connected.events():
            match received:
                case PeerAdded():
                    self._is_reached.set()
                case Delivery():
                    yield received
