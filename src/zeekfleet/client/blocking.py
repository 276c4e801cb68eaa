"""Runs verbs without an event loop, for the command line: importing asyncio alone takes a third of a verb's time.

    with connect(host, port) as link:
        nodes = result_of(BlockingClient(link, timeout=20.0).get_nodes())

The verbs are coroutines. Here nothing that they await ever suspends, because the link blocks
until the answer is there. So one step runs a verb to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.client.carrier import Watch
from zeekfleet.client.link import Link
from zeekfleet.client.requests import Requests

R = TypeVar("R", bound=Response)
T = TypeVar("T")


def result_of(verb: Awaitable[T]) -> T:
    """Run a verb of a :class:`BlockingClient` to its end."""
    steps = verb.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("this needs an event loop")


class BlockingClient(Requests):
    """The verbs over one link.

    Args:
        link: a connection to a controller.
        timeout: seconds that a request may take if a verb is not given another time-out.
    """

    def __init__(self, link: Link, timeout: float) -> None:
        super().__init__()
        self._link = link
        self._timeout = timeout

    async def ask(self, request: Request[R], *, timeout: float | None = None, watch: Watch | None = None) -> R:
        def watched(topic: str, event: Event) -> bool:
            is_progress = watch is not None and watch(topic, event)
            self._show(topic, event)
            return is_progress

        return self._link.request(request, self._timeout if timeout is None else timeout, watched)

    def tell(self, event: Event) -> None:
        self._link.publish(event)

    async def wait(self, timeout: float) -> bool:
        received = self._link.receive(timeout)
        if received is None:
            return False
        self._show(*received)
        return True
