"""A listener under a client that floods it: others have their turns, and what the flood costs is bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from support.raw_peer import RawPeer, client_frame
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.events.controller import GetInstancesRequest, GetInstancesResponse
from zeekfleet.broker.messages import encode_event
from zeekfleet.model.management import Result
from zeekfleet.security import permissions
from zeekfleet.security.permissions import Actor
from zeekfleet.transport.bus import Delivery
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

CLIENTS = ListenerPolicy(actors=(Actor(permissions.Role.ADMIN),))
MANY = 3000


@contextlib.asynccontextmanager
async def controller(answer: str = "") -> AsyncIterator[tuple[WebSocketBus, int]]:
    """What answers all clients that ask for instances."""
    async with WebSocketBus("hub", TransportSettings(close_timeout=0.5)) as hub:
        hub.subscribe(topics.CONTROLLER)

        async def work() -> None:
            async for received in hub.events():
                if isinstance(received, Delivery) and isinstance(received.event, GetInstancesRequest):
                    reqid = received.event.reqid
                    response = GetInstancesResponse(reqid, Result(reqid, error=answer))
                    hub.reply(received, response, to=received.peer)

        port = await hub.listen("127.0.0.1", 0, policy=CLIENTS)
        working = asyncio.create_task(work())
        yield hub, port
        working.cancel()


def request(reqid: str) -> bytes:
    return client_frame(1, encode_event(topics.CONTROLLER, GetInstancesRequest(reqid)))


@pytest.mark.parametrize(
    "flood",
    [
        request("flood"),
        client_frame(1, b"no JSON"),
        client_frame(1, encode_event(topics.agent("a1"), agent.NotifyLog("a1", "not a client's"))),
    ],
    ids=["requests", "no JSON", "what is forbidden"],
)
async def test_a_request_does_not_wait_for_all_of_anothers(flood: bytes) -> None:
    async with controller() as (hub, port), RawPeer(port) as greedy, RawPeer(port) as modest:
        await greedy.subscribe(topics.CONTROLLER)
        await modest.subscribe(topics.CONTROLLER)
        before = hub.metrics.frames_in
        greedy.raw(flood * MANY)
        modest.raw(request("mine"))
        await modest.message()
        assert hub.metrics.frames_in - before < MANY // 3
        for _ in range(MANY):
            await greedy.message()


async def test_a_client_that_does_not_read_its_answers_may_ask_no_more_until_it_does() -> None:
    async with controller("x" * 100_000) as (hub, port), RawPeer(port) as greedy, RawPeer(port) as modest:
        await greedy.subscribe(topics.CONTROLLER)
        await modest.subscribe(topics.CONTROLLER)
        greedy.reader._transport.pause_reading()  # type: ignore[attr-defined]
        greedy.raw(request("flood") * 1000)
        trips, is_held_back = 0, False
        while trips < 20 or not is_held_back:
            before = hub.metrics.frames_out
            modest.raw(request("mine"))
            await modest.message()
            trips, is_held_back = trips + 1, hub.metrics.frames_out == before + 1
        assert 10 < hub.metrics.frames_out - trips < 300
        greedy.reader._transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(1000):
            assert (await greedy.message())["type"] == "data-message"
        assert hub.metrics.slow_peers == 0


async def test_a_client_that_is_held_back_can_leave() -> None:
    async with controller("x" * 100_000) as (hub, port), RawPeer(port) as modest:
        await modest.subscribe(topics.CONTROLLER)
        async with RawPeer(port) as greedy:
            await greedy.subscribe(topics.CONTROLLER)
            greedy.reader._transport.pause_reading()  # type: ignore[attr-defined]
            greedy.raw(request("flood") * 1000)
            modest.raw(request("mine"))
            await modest.message()
        async with asyncio.timeout(10):
            while len(hub.peers()) > 1:
                modest.raw(request("mine"))
                await modest.message()
