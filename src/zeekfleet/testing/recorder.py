"""Reads an endpoint's events in the background, so that tests can wait for what they expect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from zeekfleet.broker.events.base import Event
from zeekfleet.transport.endpoint import Delivery, Endpoint, Happening, Peer, PeerAdded, PeerLost


class Recorder:
    """Everything that happens at an endpoint.

    Args:
        endpoint: whose events to read.
        react: called with each as it comes, such as to reply.

    Attributes:
        seen: all so far, in order.
    """

    def __init__(self, endpoint: Endpoint, react: Callable[[Happening], None] | None = None) -> None:
        self._endpoint = endpoint
        self._react = react
        self._arrived = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.seen: list[Happening] = []

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
        return [happening for happening in self.seen if isinstance(happening, Delivery)]

    async def wait_for(self, matches: Callable[[Happening], bool], timeout: float = 20.0, start: int = 0) -> Happening:
        """The first that matches among those from number ``start`` on, as soon as there is one.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
        """

        def find() -> Happening | None:
            return next((happening for happening in self.seen[start:] if matches(happening)), None)

        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: find() is not None)
            found = find()
        if found is None:
            raise TimeoutError
        return found

    async def added(self, start: int = 0) -> Peer:
        """The first peer added."""
        happening = await self.wait_for(lambda found: isinstance(found, PeerAdded), start=start)
        assert isinstance(happening, PeerAdded)  # noqa: S101 - for the type checker
        return happening.peer

    async def lost(self, start: int = 0) -> PeerLost:
        """The first peer lost."""
        happening = await self.wait_for(lambda found: isinstance(found, PeerLost), start=start)
        assert isinstance(happening, PeerLost)  # noqa: S101 - for the type checker
        return happening

    async def event(self, event: Event | type[Event], start: int = 0) -> Delivery:
        """The first delivery of an event, or of an event of a class."""

        def matches(found: Happening) -> bool:
            if not isinstance(found, Delivery):
                return False
            return isinstance(found.event, event) if isinstance(event, type) else found.event == event

        happening = await self.wait_for(matches, start=start)
        assert isinstance(happening, Delivery)  # noqa: S101 - for the type checker
        return happening

    async def _read(self) -> None:
        async for happening in self._endpoint.events():
            if self._react is not None:
                self._react(happening)
            async with self._arrived:
                self.seen.append(happening)
                self._arrived.notify_all()
