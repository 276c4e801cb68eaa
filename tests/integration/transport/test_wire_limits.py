"""A listener under peers that take all they can get: somebody else is served all the same."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import struct
import tracemalloc
from collections.abc import AsyncIterator

import pytest
import trustme

from support.raw_peer import RawPeer
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.messages import encode_event
from zeekfleet.transport.bus import PeerAdded, PeerLost
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
A1 = topics.agent("a1")
MANY = 500


@contextlib.asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None, **settings: float) -> AsyncIterator[tuple[WebSocketBus, int]]:
    async with WebSocketBus("hub", TransportSettings(close_timeout=0.5, **settings)) as hub:
        hub.subscribe(A1)
        yield hub, await hub.listen(HOST, 0, tls=tls and ServerTls(lambda: tls))


@contextlib.asynccontextmanager
async def crowd(port: int, said: bytes, number: int = MANY) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Connections that say something, and then nothing."""
    writers: list[asyncio.StreamWriter] = []
    try:
        for _ in range(number):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(said)
            writers.append(writer)
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[WebSocketBus]:
    async with WebSocketBus("leaf", TransportSettings(close_timeout=0.5)) as leaf:
        leaf.dial(HOST, port, tls=tls and ClientTls(lambda: tls))
        assert isinstance(await anext(aiter(leaf.events())), PeerAdded)
        yield leaf


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("said", [b"", b"GET /v1/messages/json HTTP/1.1\r\nHost: localhost\r\n"])
async def test_connections_that_never_ask_for_an_upgrade_keep_nobody_out(said):
    async with listening(handshakes=32) as (hub, port), crowd(port, said), asyncio.timeout(10), connected(port):
        assert hub.metrics.handshakes_evicted >= MANY - 32


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_half_open_tls_handshakes_keep_nobody_out(authority, said):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    async with (
        listening(server, handshakes=32) as (hub, port),
        crowd(port, said),
        asyncio.timeout(10),
        connected(port, client),
    ):
        assert hub.metrics.handshakes_evicted >= MANY - 32


async def test_idle_connections_of_one_peer_are_limited_and_it_is_told_why():
    async with listening(connections_each=2) as (hub, port), RawPeer(port) as one, RawPeer(port) as two:
        await one.subscribe(A1)
        await two.subscribe(A1)
        async with RawPeer(port) as three:
            head = await three.upgrade()
        assert head.startswith("HTTP/1.1 503 ")
        assert "there are 2 connections of this peer already" in head
        assert hub.metrics.connections_refused == 1
        one.writer.transport.abort()
        async with asyncio.timeout(10), connected(port):
            pass


async def test_the_memory_of_what_never_arrived_is_given_back():
    """Not only when the garbage collector happens to come by: by then there may be much of it."""
    size, count = 2**20, 8
    async with listening() as (_, port):
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(count):
                async with RawPeer(port) as peer:
                    await peer.subscribe()
                    peer.raw(struct.pack("!BBQ", 0x81, 0xFF, 2 * size) + bytes(4) + bytes(size))
                    peer.end()
                    await peer.ended()
            assert tracemalloc.get_traced_memory()[0] < 2 * size
        finally:
            tracemalloc.stop()
            gc.enable()


async def test_unfinished_frames_are_bounded_and_others_still_served():
    begun = struct.pack("!BBQ", 0x81, 0x80 | 127, 1_000_000) + bytes(4) + b" " * 900_000
    async with (
        listening(unfinished_bytes=4_000_000, frame_bytes=2**20) as (hub, port),
        contextlib.AsyncExitStack() as all_,
    ):
        for _ in range(12):
            peer = await all_.enter_async_context(RawPeer(port))
            await peer.subscribe()
            peer.writer.write(begun)
            await peer.writer.drain()
        async with asyncio.timeout(10):
            lost = 0
            async for received in hub.events():
                lost += isinstance(received, PeerLost)
                if lost == 8:
                    break
        assert hub.metrics.frames_abandoned == 8
        async with RawPeer(port) as sender, RawPeer(port) as reader:
            await reader.subscribe(A1)
            await sender.subscribe()
            frame = encode_event(A1, agent.NotifyLog("a1", "x" * 1_000_000))
            sender.text(frame)
            assert await reader.frame() == (1, frame)


async def test_fragments_without_content_take_no_memory():
    async with listening(unfinished_bytes=1000) as (hub, port), RawPeer(port) as peer:
        await peer.subscribe()
        peer.writer.write(b"\x01\x80" + bytes(4) + (b"\x00\x80" + bytes(4)) * 100_000)
        peer.writer.write(b"\x00\x84" + bytes(4) + b"oops" + b"\x80\x80" + bytes(4))
        assert (await peer.message())["code"] == "deserialization_failed"
        assert hub.metrics.frames_abandoned == 0
