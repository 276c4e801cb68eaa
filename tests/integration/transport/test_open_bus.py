"""A bus is opened by its URL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.errors import TransportError
from zeekfleet.model.management import Result
from zeekfleet.transport.bus import Delivery
from zeekfleet.transport.opening import open_bus
from zeekfleet.transport.websocket import WebSocketBus

TOPIC = topics.agent("a1")
DEADLINE = 30.0


@pytest.mark.parametrize("is_socket_file", [False, True], ids=["tcp", "socket file"])
async def test_who_opens_a_bus_can_ask_and_answer(tmp_path: Path, is_socket_file: bool) -> None:
    async with asyncio.timeout(DEADLINE), WebSocketBus("listens") as listening:
        listening.subscribe(TOPIC)
        path = tmp_path / "socket"
        port = await listening.listen(f"unix:{path}" if is_socket_file else "127.0.0.1", 0)
        bus = open_bus(f"ws+unix:{path}" if is_socket_file else f"ws://127.0.0.1:{port}", "opens")
        bus.subscribe(TOPIC)

        async def answer() -> None:
            async for received in bus.events():
                if isinstance(received, Delivery) and isinstance(received.event, agent.GetNodesRequest):
                    reqid = received.event.reqid
                    bus.reply(received, agent.GetNodesResponse(reqid, Result(reqid)))

        async with bus:
            answering = asyncio.create_task(answer())
            await anext(listening.events())
            response = await listening.request(TOPIC, agent.GetNodesRequest("r"), DEADLINE)
            assert response == agent.GetNodesResponse("r", Result("r"))
            answering.cancel()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:2150", "nats://h:1", "ws://h", "ws://:1", "ws://h:no", "ws://h:70000", "ws+unix:"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(TransportError, match="names no bus, expected ws://HOST:PORT"):
        open_bus(url)
