"""The interface by which verbs send requests and hear events."""

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
    """Watches events as they arrive, until one may have been missed.

    Args:
        watch: called with each event.
        wait: waits for the next event; see :meth:`Carrier.wait`.
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
        """Note that events may be missed from now on, and why."""
        self._error = self._error or error

    async def next(self, timeout: float) -> bool:
        """Wait until another event has arrived and been shown. Returns False if none came within ``timeout`` seconds.

        Raises:
            TransportError: events may have been missed. All events before that have been shown.
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
            watch: called with other events that arrive; returns whether the event is a sign of progress.

        Raises:
            RequestTimeoutError: no response came in time.
            TransportError: there is no connection, or it was lost.
            ProtocolError: something else than an event of the protocol arrived.
        """

    @abc.abstractmethod
    def tell(self, event: Event) -> None:
        """Send an event that has no response.

        Raises:
            TransportError: the connection is lost.
        """

    @abc.abstractmethod
    async def wait(self, timeout: float) -> bool:
        """Wait until another event has arrived and been shown to all watchers. Returns False if none came in time.

        Raises:
            TransportError: the connection is lost.
        """

    @contextmanager
    def watching(self, watch: Watch) -> Iterator[Watching]:
        """While the context lasts, call ``watch`` with every event except awaited responses.

        The return value of ``watch`` is ignored here. After the connection was lost, ``watch`` is not called any more,
        even if there is a new connection.
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
        """The connection is lost: watchers will miss events until there is a new one."""
        for watching in self._watching:
            watching.end(error)
