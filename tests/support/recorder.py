"""Reads an endpoint's events in the background, so that tests can wait for what they expect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from zeekfleet.broker.events.base import Event
from zeekfleet.transport.bus import Bus, BusEvent, Delivery, Peer, PeerAdded, PeerLost


class Recorder:
    """Everything that happens at an endpoint.

    Args:
        endpoint: whose events to read.
        react: called with each as it comes, such as to reply.

    Attributes:
        seen: all so far, in order.
    """

    def __init__(self, endpoint: Bus, react: Callable[[BusEvent], None] | None = None) -> None:
        self._endpoint = endpoint
        self._react = react
        self._arrived = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.seen: list[BusEvent] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    @property
    def deliveries(self) -> list[Delivery]:
        """The events that arrived."""
        return [received for received in self.seen if isinstance(received, Delivery)]

    async def wait_for(self, matches: Callable[[BusEvent], bool], timeout: float = 20.0, start: int = 0) -> BusEvent:
        """The first that matches among those from number ``start`` on, as soon as there is one.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
        """

        def find() -> BusEvent | None:
            return next((received for received in self.seen[start:] if matches(received)), None)

        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: find() is not None)
            found = find()
        if found is None:
            raise TimeoutError
        return found

    async def added(self, start: int = 0) -> Peer:
        """The first peer added."""
        received = await self.wait_for(lambda found: isinstance(found, PeerAdded), start=start)
        assert isinstance(received, PeerAdded)
        return received.peer

    async def lost(self, start: int = 0) -> PeerLost:
        """The first peer lost."""
        received = await self.wait_for(lambda found: isinstance(found, PeerLost), start=start)
        assert isinstance(received, PeerLost)
        return received

    async def event(self, event: Event | type[Event], start: int = 0) -> Delivery:
        """The first delivery of an event, or of an event of a class."""

        def matches(found: BusEvent) -> bool:
            if not isinstance(found, Delivery):
                return False
            return isinstance(found.event, event) if isinstance(event, type) else found.event == event

        received = await self.wait_for(matches, start=start)
        assert isinstance(received, Delivery)
        return received

    async def _read(self) -> None:
        async for received in self._endpoint.events():
            if self._react is not None:
                self._react(received)
            async with self._arrived:
                self.seen.append(received)
                self._arrived.notify_all()
