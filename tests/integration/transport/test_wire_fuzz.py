"""Random and mutated bytes at a listener: it answers or closes, and serves the next one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.raw_peer import CLOSE, PING, PONG, TEXT, RawPeer, client_frame
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.messages import encode_event
from zeekfleet.transport.bus import Delivery
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

A1 = topics.agent("a1")
EVENT = agent.NotifyLog("a1", "hello")
FRAME = encode_event(A1, EVENT)
WHOLE = client_frame(TEXT, FRAME)
QUICK = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A listener in a thread of its own that echoes what it understands."""
    bound: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def serve() -> None:
        limits = TransportSettings(handshake_timeout=1.0, close_timeout=0.1, frame_bytes=100_000)
        async with WebSocketBus("hub", limits) as hub:
            hub.subscribe("")
            task = asyncio.current_task()
            assert task is not None
            bound.set_result((await hub.listen("127.0.0.1", 0), asyncio.get_running_loop(), task))
            with contextlib.suppress(asyncio.CancelledError):
                async for received in hub.events():
                    if isinstance(received, Delivery) and received.event == EVENT:
                        hub.reply(received, EVENT)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    number, loop, task = bound.result(20)
    yield number
    assert thread.is_alive()
    loop.call_soon_threadsafe(task.cancel)
    thread.join(20)
    assert not thread.is_alive()


async def still_served(peer: RawPeer) -> None:
    """A good frame is echoed, whatever error frames come before."""
    peer.text(FRAME)
    while (await peer.message())["type"] != "data-message":
        pass


async def next_is_served(port: int) -> None:
    async with RawPeer(port) as peer:
        assert (await peer.subscribe(A1))["type"] == "ack"
        await still_served(peer)


@st.composite
def mutated_frames(draw) -> bytes:
    frame = bytearray(FRAME)
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(frame)))
        frame[place : place + draw(st.integers(0, 20))] = draw(st.binary(max_size=8))
    return bytes(frame)


@given(st.lists(mutated_frames() | st.binary(max_size=100), max_size=4), st.booleans())
@QUICK
def test_text_that_is_no_message(port, frames, early):
    async def talk() -> None:
        async with RawPeer(port) as peer:
            await peer.upgrade()
            if early:
                for frame in frames:
                    peer.text(frame)
            peer.text(f'["{A1}"]')
            if not early:
                for frame in frames:
                    peer.text(frame)
            await still_served(peer)

    asyncio.run(talk())


@given(
    st.lists(
        st.binary(max_size=50)
        | st.tuples(st.integers(0, 15), st.binary(max_size=130))
        | st.builds(lambda frame, cut: frame[:cut], st.just(WHOLE), st.integers(0, 300))
        | st.sampled_from([b"\x81\x7f" + b"\xff" * 8, b"\x01\x00", b"\x80\x00", b"\xff\xff"]),
        min_size=1,
        max_size=4,
    )
)
@QUICK
def test_bytes_that_are_no_frames(port, pieces):
    async def talk() -> None:
        async with RawPeer(port) as peer:
            await peer.subscribe(A1)
            for piece in pieces:
                if isinstance(piece, bytes):
                    peer.raw(piece)
                else:
                    peer.text(piece[1], opcode=piece[0])
            peer.end()
            await peer.ended()
        await next_is_served(port)

    asyncio.run(talk())


@given(st.integers(3, 15).filter(lambda opcode: opcode not in (CLOSE, PING, PONG)))
@settings(max_examples=10, deadline=None)
def test_opcodes_that_do_not_exist(port, opcode):
    async def talk() -> None:
        async with RawPeer(port) as peer:
            await peer.subscribe(A1)
            peer.text(FRAME, opcode=opcode)
            assert await peer.close_code() == 1002

    asyncio.run(talk())


LINES = st.text(st.characters(min_codepoint=32, max_codepoint=126))
REQUESTS = LINES.map(lambda line: f"GET {line} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n".encode())


@given(st.binary(max_size=200) | REQUESTS)
@QUICK
def test_bytes_that_are_no_request(port, request_bytes):
    async def talk() -> None:
        async with RawPeer(port) as peer:
            peer.raw(request_bytes)
            peer.end()
            await peer.ended()
        await next_is_served(port)

    asyncio.run(talk())
