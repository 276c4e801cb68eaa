"""One world an implementation: where its endpoints find each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest

from zeekfleet.transport.bus import Bus
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork
from zeekfleet.transport.routed import RoutedBus
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"

Make = Callable[..., RoutedBus]


@pytest.fixture(params=["memory", "websocket"])
def make(request: pytest.FixtureRequest) -> Make:
    network = MemoryNetwork()

    def make_endpoint(name: str = "", settings: TransportSettings | None = None) -> Bus:
        if request.param == "memory":
            return MemoryBus(network, name, settings)
        return WebSocketBus(name, settings)

    return make_endpoint


@pytest.fixture
def log_says() -> Iterator[Callable[[str], Awaitable[None]]]:
    """Wait until a log line of the transport's holds a text."""
    lines: list[str] = []
    arrived = asyncio.Event()

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            arrived.set()

    async def says(text: str) -> None:
        async with asyncio.timeout(20):
            while not any(text in line for line in lines):
                arrived.clear()
                await arrived.wait()

    handler = Collect()
    logger = logging.getLogger("zeekfleet.transport")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield says
    logger.setLevel(level)
    logger.removeHandler(handler)
