"""How verbs send requests and hear events, whatever carries these."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.errors import TransportError

R = TypeVar("R", bound=Response)

Watch = Callable[[str, Event], bool]
"""Called with each event that is not the awaited answer, and its topic; True if it is a sign of progress."""


class Watching:
    """Sees events as they arrive, until the first that it may have missed.

    Args:
        watch: is called with each event.
        wait: waits for the next one; see :meth:`Carrier.wait`.
    """

    def __init__(self, watch: Watch, wait: Callable[[float], Awaitable[bool]]) -> None:
        self._watch = watch
        self._wait = wait
        self._error: TransportError | None = None

    def show(self, topic: str, event: Event) -> None:
        """An event has arrived."""
        if self._error is None:
            self._watch(topic, event)

    def end(self, error: TransportError) -> None:
        """From now on events may be missed, for this reason."""
        self._error = self._error or error

    async def next(self, timeout: float) -> bool:
        """Wait until another event has arrived and was seen; False if none came within ``timeout`` seconds.

        Raises:
            TransportError: events may have been missed since watching began. Those before were seen.
        """
        if self._error is None and not await self._wait(timeout):
            return False
        if self._error is not None:
            raise self._error
        return True


class Carrier(abc.ABC):
    """Carries requests to a controller, and events from it."""

    def __init__(self) -> None:
        self._watching: list[Watching] = []

    @abc.abstractmethod
    async def ask(self, request: Request[R], *, timeout: float | None = None, watch: Watch | None = None) -> R:
        """Send a request and wait for its response.

        Args:
            request: what to ask.
            timeout: seconds, counted anew at each sign of progress.
            watch: tells which of the other events that arrive are signs of progress.

        Raises:
            RequestTimeoutError: no response came in time.
            TransportError: there is no connection, or it was lost.
            ProtocolError: what came is no event of the protocol.
        """

    @abc.abstractmethod
    def tell(self, event: Event) -> None:
        """Send an event that has no response.

        Raises:
            TransportError: the connection is lost.
        """

    @abc.abstractmethod
    async def wait(self, timeout: float) -> bool:
        """Wait until another event has arrived and those who watch have seen it; False if none came in time.

        Raises:
            TransportError: the connection is lost.
        """

    @contextmanager
    def watching(self, watch: Watch) -> Iterator[Watching]:
        """Have every event that arrives meanwhile seen by ``watch``, but for responses that are awaited.

        What ``watch`` returns does not count here. It sees no event after the connection was lost, even if there is a
        new one.
        """
        watching = Watching(watch, self.wait)
        self._watching.append(watching)
        try:
            yield watching
        finally:
            self._watching.remove(watching)

    def _show(self, topic: str, event: Event) -> None:
        for watching in tuple(self._watching):
            watching.show(topic, event)

    def _end_watching(self, error: TransportError) -> None:
        """The connection is lost: whoever watches has missed what happens until there is a new one."""
        for watching in self._watching:
            watching.end(error)
