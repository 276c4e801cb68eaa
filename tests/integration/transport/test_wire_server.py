"""The listener against peers that do not behave (docs/protocol.md, section 2)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from support.raw_peer import CLOSE, PING, PONG, RawPeer, client_frame
from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.messages import encode_event
from zeekfleet.security.permissions import Actor, Role
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus
from zeekfleet.version import __version__

HOST = "127.0.0.1"
A1 = topics.agent("a1")
EVENT = agent.NotifyLog("a1", "hello")
FRAME = encode_event(A1, EVENT)


@contextlib.asynccontextmanager
async def listening(**settings) -> AsyncIterator[tuple[WebSocketBus, int]]:
    async with WebSocketBus("hub", TransportSettings(close_timeout=0.5, **settings)) as hub:
        hub.subscribe(A1)
        yield hub, await hub.listen(HOST, 0)


async def served(port: int) -> None:
    """The next ones are served."""
    async with RawPeer(port) as one, RawPeer(port) as two:
        assert (await one.subscribe(A1))["type"] == "ack"
        assert (await two.subscribe())["type"] == "ack"
        two.text(FRAME)
        assert (await one.frame()) == (1, FRAME)


async def test_handshake_and_delivery_to_the_letter():
    async with listening() as (hub, port), RawPeer(port) as peer, Recorder(hub) as sees:
        head = await peer.upgrade(X_Application_Name="zeek-client@*")
        assert head.startswith("HTTP/1.1 101 ")
        assert "extensions" not in head.lower()
        peer.text("[]")
        assert await peer.message() == {"type": "ack", "endpoint": hub.id, "version": __version__}
        assert (await sees.added()).name == "zeek-client@*"
        peer.text(FRAME)
        assert (await sees.event(EVENT)).topic == A1


async def test_forwards_the_text_it_received():
    odd = json.dumps(json.loads(FRAME) | {"more": "é"}, indent=1)
    async with listening() as (_, port), RawPeer(port) as one, RawPeer(port) as two:
        await one.subscribe()
        await two.subscribe("zeek/management")
        one.text(odd)
        assert await two.frame() == (1, odd.encode())


async def test_wrong_path():
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            assert (await peer.upgrade("/elsewhere")).startswith("HTTP/1.1 101 ")
            assert (await peer.message())["code"] == "invalid_uri"
            assert await peer.close_code() == 1008
        await served(port)


@pytest.mark.parametrize("name", ["", "two words", "naïve"])
async def test_bad_application_name(name):
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            await peer.upgrade(X_Application_Name=name)
            assert (await peer.message())["code"] == "invalid_application_name"
            assert await peer.close_code() == 1008
        await served(port)


@pytest.mark.parametrize("path", ["/", "/v1/messages/json"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_plain_http_gets_404(path, method):
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            peer.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await peer.ended()).startswith(b"HTTP/1.1 404 ")
        await served(port)


@pytest.mark.parametrize(
    "body", ["Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_with_a_body_gets_404(method, body, caplog):
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            peer.raw(f"{method} /v1/messages/json HTTP/1.1\r\nHost: x\r\n{body}".encode())
            answer = await peer.ended()
            assert answer.startswith(b"HTTP/1.1 404 ")
            assert answer.endswith(b"404: only WebSocket is spoken here\n")
        assert not caplog.records
        await served(port)


@pytest.mark.parametrize("request_bytes", [b"garbage\r\n\r\n", b"GET /v1/messages/json HTTP/1.1\r\n\r\n"])
async def test_a_request_that_is_none_gets_400_and_one_line_in_the_log(request_bytes, caplog):
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            peer.raw(request_bytes)
            assert b" 400 " in (await peer.ended())[:20]
        assert not [record for record in caplog.records if record.exc_info]
        await served(port)


async def test_a_head_without_end_is_refused_long_before_it_takes_much_memory():
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            peer.raw(b"GET /v1/messages/json HTTP/1.1\r\nHost: localhost\r\n")
            peer.raw(b"".join(b"X-%d: %s\r\n" % (number, b"x" * 4000) for number in range(5)))
            answer = await peer.ended()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"an HTTP head of more than 16384 bytes" in answer
        await served(port)


async def test_who_errs_again_and_again_does_not_fill_the_log(caplog, monkeypatch):
    for module in ("router", "listener"):
        monkeypatch.setattr(f"zeekfleet.transport.{module}.REPORTED_BURST", 1)
    async with listening() as (_, port):
        for _ in range(5):
            async with RawPeer(port) as peer:
                peer.raw(b"garbage\r\n\r\n")
                await peer.ended()
            async with RawPeer(port) as peer:
                await peer.upgrade("/elsewhere")
                await peer.ended()
            async with RawPeer(port) as peer:
                await peer.subscribe()
                peer.text("nonsense")
                assert (await peer.message())["code"] == "deserialization_failed"
                peer.raw(b"\x83\x80mask")
                assert await peer.close_code() == 1002
        await served(port)
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    expected = ("bad request", "invalid_uri", "deserialization_failed", "peer lost")
    assert [sum(problem in line for line in logged) for problem in expected] == [1] * 4
    assert len(logged) == 4


@pytest.mark.parametrize("sent", [b"", b"GET /v1/messages/json HT", b"\x16\x03\x01\x02\x00\x01", b"\0" * 100])
async def test_half_an_upgrade_is_dropped_at_the_deadline(sent):
    async with listening(handshake_timeout=0.2) as (_, port):
        async with RawPeer(port) as peer:
            peer.raw(sent)
            await peer.ended()
        await served(port)


async def test_no_subscriptions_by_the_deadline():
    async with listening(handshake_timeout=0.2) as (hub, port):
        async with RawPeer(port) as peer:
            await peer.upgrade()
            assert await peer.close_code() == 1008
        assert hub.metrics.handshakes_failed == 1
        await served(port)


UPGRADE = (
    b"GET /v1/messages/json HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def test_a_request_that_arrives_while_we_stand_still_is_served():
    """The deadline is over when we look again, but the request has been in the socket all the time."""
    async with listening(handshake_timeout=0.2) as (_, port), RawPeer(port) as peer:
        await accepted(port)
        peer.raw(UPGRADE)
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is meant to stand still
        assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        peer.text("[]")
        assert (await peer.message())["type"] == "ack"


async def test_subscriptions_that_arrive_while_we_stand_still_are_served():
    async with listening(handshake_timeout=0.2) as (_, port), RawPeer(port) as peer:
        await peer.upgrade()
        peer.text("[]")
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is meant to stand still
        assert (await peer.message())["type"] == "ack"


async def test_one_that_says_nothing_is_dropped_even_if_we_stood_still():
    async with listening(handshake_timeout=0.2) as (hub, port):
        async with RawPeer(port) as peer:
            await accepted(port)
            time.sleep(0.5)  # noqa: ASYNC251 - the loop is meant to stand still
            assert await peer.ended() == b""
        assert hub.metrics.handshakes_failed == 1


async def accepted(port: int) -> None:
    """Those who have connected so far are accepted: connections are taken in their order."""
    async with RawPeer(port) as later:
        await later.subscribe()


async def test_what_comes_together_with_the_request_is_taken_after_the_answer():
    """A peer that does not wait for the answer, in pieces of any size."""
    everything = UPGRADE + client_frame(PING, b"early") + client_frame(1, b"[]")
    for size in (1, 7, len(UPGRADE) - 2, len(UPGRADE), len(everything)):
        async with listening() as (_, port), RawPeer(port) as peer:
            for start in range(0, len(everything), size):
                peer.raw(everything[start : start + size])
                await asyncio.sleep(0)
            assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            assert await peer.frame() == (PONG, b"early")
            assert (await peer.message())["type"] == "ack"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Host: localhost\r\n", b"Host: a\r\nHost: b\r\n"),
        (b"Version: 13", b"Version: 8"),
        (b"AAAA==", b"=="),
        (b"Connection: Upgrade", b"Connection: close"),
        (b"Upgrade: websocket\r\n", b"Upgrade: websocket\r\n and more\r\n"),
        (b"localhost", b"x" * 100_000),
        (b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
    ],
)
async def test_an_upgrade_that_is_not_right_gets_400(old, new):
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            peer.raw(UPGRADE.replace(old, new))
            assert (await peer.ended()).startswith(b"HTTP/1.1 400 ")
        await served(port)


async def test_one_that_connects_to_itself_gets_409():
    async with listening() as (hub, port):
        async with RawPeer(port) as peer:
            answer = await peer.upgrade(X_Zeekfleet_Endpoint=hub.id)
            assert answer.startswith("HTTP/1.1 409 ")
        await served(port)


@pytest.mark.parametrize("bad", ["", "{}", "null", '["a", 1]', "[", FRAME.decode(), '"zeek/"', "[[]]"])
async def test_a_bad_subscription_then_a_good_one(bad):
    async with listening() as (hub, port), RawPeer(port) as peer, Recorder(hub) as sees:
        await peer.upgrade()
        peer.text(bad)
        error = await peer.message()
        assert (error["type"], error["code"]) == ("error", "deserialization_failed")
        assert not sees.seen
        peer.text("[]")
        assert (await peer.message())["type"] == "ack"
        await sees.added()


async def test_nothing_is_delivered_before_the_ack():
    async with listening() as (hub, port), RawPeer(port) as peer:
        await peer.upgrade()
        hub.publish(A1, EVENT)
        peer.text(json.dumps([A1]))
        assert (await peer.message())["type"] == "ack"
        hub.publish(A1, EVENT)
        assert (await peer.message())["type"] == "data-message"


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense",
        b"[" * 100_000,
        b'{"type":"data-message","topic":"t","@data-type":"vector","data":'
        + b'[{"@data-type":"vector","data":' * 50_000,
        b'{"type":"data-message","topic":"t","@data-type":"count","data":18446744073709551616}',
        b'{"type":"data-message","topic":"t","@data-type":"vector","data":[{"@data-type":"real","data":NaN}]}',
        b'{"type":"data-message","topic":"t","@data-type":"vector","data":[{"@data-type":"novel","data":1}]}',
        b'{"type":"data-message","topic":"t","@data-type":"vector","data":[]}',
        b'{"type":"data-message","topic":"\xff\xfe","@data-type":"vector","data":[]}',
        b'{"type":"ack","endpoint":"e","version":"v"}',
        b'{"type":"error","code":"c","context":"x"}',
        FRAME.replace(b'"string"', b'"count"'),
        b'["zeek/management"]',
        b"",
    ],
)
async def test_a_frame_that_is_not_understood(bad):
    async with listening() as (hub, port), RawPeer(port) as peer, Recorder(hub) as sees:
        await peer.subscribe(A1)
        peer.text(bad)
        error = await peer.message()
        assert (error["type"], error["code"]) == ("error", "deserialization_failed")
        assert error["context"]
        peer.text(FRAME)
        await sees.event(EVENT)
        assert hub.metrics.decode_errors == 1


async def test_two_to_the_64_minus_one_is_exact():
    hello = agent.NotifyAgentHello("a1", "id", True, 2**64 - 1)
    async with listening() as (hub, port), RawPeer(port) as peer, Recorder(hub) as sees:
        await peer.subscribe()
        peer.text(encode_event(A1, hello))
        await sees.event(hello)


async def test_binary_frames_are_answered_with_an_error():
    async with listening() as (hub, port), RawPeer(port) as peer, Recorder(hub) as sees:
        await peer.upgrade()
        peer.text("[]", opcode=2)
        assert (await peer.message())["code"] == "deserialization_failed"
        peer.text("[]")
        assert (await peer.message())["type"] == "ack"
        peer.text(FRAME, opcode=2)
        assert "binary" in (await peer.message())["context"]
        peer.text(FRAME)
        await sees.event(EVENT)


async def test_forbidden_topic_and_forbidden_subscription():
    async with WebSocketBus() as hub, Recorder(hub) as sees:
        hub.subscribe("")
        port = await hub.listen(HOST, 0, policy=ListenerPolicy(actors=(Actor(Role.AGENT, "a1"),)))
        async with RawPeer(port) as peer:
            assert (await peer.subscribe("zeek/supervisor", A1))["type"] == "ack"
            assert (await peer.message())["code"] == "topic_forbidden"
            peer.text(encode_event(topics.SUPERVISOR, EVENT))
            error = await peer.message()
            assert error["code"] == "topic_forbidden"
            assert topics.SUPERVISOR in error["context"]
            peer.text(FRAME)
            await sees.event(EVENT)
            assert len(sees.deliveries) == 1


async def test_ten_thousand_subscriptions():
    async with listening() as (hub, port), RawPeer(port) as peer:
        await peer.upgrade()
        peer.text(json.dumps([f"zeek/{number}" for number in range(10_000)]))
        assert "10000" in (await peer.message())["context"]
        peer.text(json.dumps([f"zeek/{number}" for number in range(999)] + [A1]))
        assert (await peer.message())["type"] == "ack"
        hub.publish(A1, EVENT)
        assert (await peer.frame())[1] == FRAME


async def test_a_frame_over_the_limit_closes_with_1009():
    async with listening(frame_bytes=len(FRAME)) as (hub, port):
        async with RawPeer(port) as peer, Recorder(hub) as sees:
            await peer.subscribe()
            peer.text(FRAME)
            await sees.event(EVENT)
            peer.text(FRAME + b" ")
            assert await peer.close_code() == 1009
            await sees.lost()
        async with RawPeer(port) as peer:
            await peer.subscribe()
            peer.raw(client_frame(1, b"x" * 65536)[:4] + b"\x7f" * 6)  # announced, never sent
            assert await peer.close_code() == 1009
        await served(port)


@pytest.mark.parametrize("end", [b"\x83\x80mask", b"\x88\x82\0\0\0\0\x03\xe8"], ids=["unknown opcode", "close"])
async def test_what_came_before_the_end_is_answered_before_the_close(end):
    async with listening() as (_, port):
        async with RawPeer(port) as peer:
            await peer.upgrade()
            peer.raw(client_frame(1, b"nonsense") * 3 + client_frame(1, b"[]") + end)
            for _ in range(3):
                assert (await peer.message())["code"] == "deserialization_failed"
            assert (await peer.message())["type"] == "ack"
            assert await peer.close_code() in (1000, 1002)
            assert await peer.ended() == b""
        await served(port)


async def test_fragments_count_together():
    async with listening(frame_bytes=1000) as (_, port):
        async with RawPeer(port) as peer:
            await peer.subscribe()
            part = client_frame(0, b"x" * 400)
            peer.raw(b"\x01" + part[1:] + b"\x00" + part[1:] + b"\x00" + part[1:])
            assert await peer.close_code() == 1009
        await served(port)


async def test_memory_stays_bounded_with_a_reader_that_never_reads():
    limit = 1024 * 1024
    large = agent.NotifyLog("a1", "x" * 100_000)
    async with listening(queue_bytes=limit) as (hub, port), Recorder(hub) as sees:
        async with RawPeer(port) as peer:
            await peer.subscribe(A1)
            peer.writer.transport.pause_reading()
            tracemalloc.start()
            for _ in range(1000):  # 100 MB in all
                hub.publish(A1, large)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 4 * limit
            assert "does not read" in (await sees.lost()).reason
            assert hub.metrics.slow_peers == 1
        await served(port)


async def test_a_slow_reader_is_also_bounded_by_its_frames():
    async with listening(queue_frames=100) as (hub, port), Recorder(hub) as sees, RawPeer(port) as peer:
        await peer.subscribe(A1)
        peer.writer.transport.pause_reading()
        hub.publish(A1, agent.NotifyLog("a1", "x" * 20_000_000))  # fills the kernel's buffers
        for _ in range(99):
            hub.publish(A1, EVENT)
        assert hub.metrics.slow_peers == 0
        hub.publish(A1, EVENT)
        assert hub.metrics.slow_peers == 1
        await sees.lost()


async def test_a_flood_of_pings_by_one_that_reads_no_pongs():
    """What waits for it is bounded, although it is the library that answers."""
    async with listening(queue_frames=100) as (hub, port), Recorder(hub) as sees, RawPeer(port) as peer:
        await peer.subscribe()
        await sees.added()
        peer.writer.transport.pause_reading()
        pings = client_frame(PING, b"x" * 125) * 1000
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                peer.raw(pings)
                await peer.writer.drain()
        assert "does not read" in (await sees.lost()).reason
        assert hub.metrics.slow_peers == 1


async def test_pings_are_answered_and_sent():
    async with listening(ping_interval=0.02) as (_, port), RawPeer(port) as peer:
        await peer.subscribe()
        assert (await peer.frame())[0] == PING
        peer.text(b"payload", opcode=PING)
        while (received := await peer.frame())[0] != PONG:
            pass
        assert received[1] == b"payload"


async def test_no_pong_closes():
    impatient = listening(ping_interval=0.02, pong_timeout=0.1)
    async with impatient as (hub, port), Recorder(hub) as sees, RawPeer(port) as peer:
        await peer.subscribe()
        assert "no pong" in (await sees.lost()).reason
        await peer.ended()
        assert hub.metrics.silent_peers == 1


async def test_one_that_is_probed_goes_unless_it_answers():
    patient = listening(ping_interval=600.0, pong_timeout=600.0)
    async with patient as (hub, port), Recorder(hub) as sees, RawPeer(port) as there, RawPeer(port) as gone:
        await there.subscribe()
        present = await sees.added()
        await gone.subscribe()
        absent = await sees.added(start=1)
        hub.probe(present, 1.0)
        for _ in range(2):  # the second while the first is under way
            hub.probe(absent, 1.0)
        assert (await there.frame())[0] == PING
        there.text(b"", opcode=PONG)
        assert (await gone.frame())[0] == PING
        # The time of the one that was probed first is over before that of the other.
        assert "no pong" in (await sees.lost()).reason
        assert [peer.id for peer in hub.peers()] == [present.id]


async def test_a_peer_that_answers_pings_stays():
    impatient = listening(ping_interval=0.01, pong_timeout=0.3)
    async with impatient as (hub, port), Recorder(hub) as sees, RawPeer(port) as peer:
        await peer.subscribe()
        for _ in range(50):
            assert (await peer.frame())[0] == PING
            peer.text(b"", opcode=PONG)
        peer.text(FRAME)
        await sees.event(EVENT)
        assert hub.metrics.silent_peers == 0


async def test_leaves_politely():
    async with contextlib.AsyncExitStack() as stack:
        async with listening() as (hub, port):
            peer = await stack.enter_async_context(RawPeer(port))
            await peer.subscribe(A1)
            hub.publish(A1, EVENT)
        assert (await peer.frame())[1] == FRAME
        opcode, payload = await peer.frame()
        assert (opcode, payload[:2]) == (CLOSE, (1001).to_bytes(2, "big"))


async def test_a_peer_that_ignores_the_close_does_not_hold_up_the_end():
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(5):
            async with listening() as (_, port):
                for state in ("idle", "upgraded", "subscribed"):
                    peer = await stack.enter_async_context(RawPeer(port))
                    if state == "upgraded":
                        await peer.upgrade()
                    elif state == "subscribed":
                        await peer.subscribe()


async def test_an_event_sent_just_before_the_end_arrives():
    async with listening() as (hub, port), Recorder(hub) as sees:
        async with RawPeer(port) as peer:
            await peer.subscribe()
            peer.text(FRAME)
            peer.text((1000).to_bytes(2, "big"), opcode=CLOSE)
            peer.end()
            await peer.ended()
        await sees.event(EVENT)
        assert "1000" in (await sees.lost()).reason
