"""The requests that are waiting for their responses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar, cast

import msgspec

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.events.frames import ResponseTooLarge
from zeekfleet.errors import FrameTooLargeError, RequestTimeoutError, TransportError
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.metrics import TransportMetrics

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Response)


class _Pending(msgspec.Struct, eq=False):
    """A request that is waiting."""

    future: asyncio.Future[Response]
    asked: Peer | None


class RequestTable:
    """Finds the request that a response is for, by the response's class and ``reqid``, and by the peer that was asked.

    Nothing stays in the table after a request's deadline.

    Args:
        metrics: where to count.
        expect: called when it changes whether any request is waiting, with True if one is.
    """

    def __init__(self, metrics: TransportMetrics, expect: Callable[[bool], None]) -> None:
        self._metrics = metrics
        self._expect = expect
        self._pending: dict[tuple[type[Response], str], _Pending] = {}

    async def response(
        self, event: Request[R], timeout: float, send: Callable[[], None], asked: Peer | None = None
    ) -> R:
        """Send a request and wait for its response.

        Args:
            event: the request.
            timeout: seconds.
            send: publishes the request.
            asked: the only peer whose response counts; None if anybody may answer.

        Raises:
            RequestTimeoutError: no response came in time.
            FrameTooLargeError: the request, or its response, is too large to be sent.
            TransportError: the bus was closed, or a request with this id is waiting already.
        """
        if not isinstance(event, Request):
            raise TransportError(f"{event.event_name} is no request: it has no response")
        reqid, key = event.reqid, (event.response, event.reqid)
        if key in self._pending:
            raise TransportError(f"a request with the id '{reqid}' waits for its response already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        pending = self._pending[key] = _Pending(future, asked)
        self._changed()
        deadline = loop.call_later(timeout, self._expire, future, reqid, timeout)
        try:
            send()
            return cast("R", await future)  # the table's key has the class
        finally:
            deadline.cancel()
            if self._pending.get(key) is pending:
                del self._pending[key]
            self._changed()

    def fail(self, event: ResponseTooLarge, source: Peer) -> bool:
        """End the request whose response is too large to be sent. Returns False if no such request is waiting."""
        for (_, reqid), pending in self._pending.items():
            was_asked = pending.asked is None or source.is_same(pending.asked)
            if reqid == event.reqid and was_asked and not pending.future.done():
                pending.future.set_exception(FrameTooLargeError(reqid, event.problem))
                return True
        return False

    def resolve(self, event: Event, source: Peer) -> bool:
        """Hand a response to its request. Returns False if none is waiting for it, or if another peer was asked."""
        if not self._pending or not isinstance(event, Response):
            return False
        key = (type(event), event.reqid)
        pending = self._pending.get(key)
        if pending is None or pending.future.done():
            return False
        if pending.asked is not None and not source.is_same(pending.asked):
            self._metrics.foreign_responses += 1
            level = logging.WARNING if self._metrics.foreign_responses == 1 else logging.DEBUG
            asked, name = pending.asked, type(event).event_name
            logger.log(level, "%s of %s is ignored: %s was asked", name, source.place, asked.place)
            return False
        del self._pending[key]
        pending.future.set_result(event)
        return True

    def close(self) -> None:
        """End all waiting requests with an error."""
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(TransportError("the endpoint was closed while a request was pending"))

    def _expire(self, future: asyncio.Future[Response], reqid: str, timeout: float) -> None:
        if not future.done():
            self._metrics.requests_timed_out += 1
            future.set_exception(RequestTimeoutError(reqid, timeout))

    def _changed(self) -> None:
        waiting = len(self._pending)
        if bool(waiting) != bool(self._metrics.pending_requests):
            self._expect(bool(waiting))
        self._metrics.pending_requests = waiting
