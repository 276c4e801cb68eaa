"""The dialling side: servers with quirks, broken connections, TLS, unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trustme
from aiohttp import web

from support.proxy import FaultyProxy
from support.raw_peer import CLOSE, RawPeer
from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent, node
from zeekfleet.broker.messages import encode_event
from zeekfleet.errors import ListenError
from zeekfleet.model.management import Result
from zeekfleet.transport.bus import Delivery, PeerAdded, PeerLost
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
A1 = topics.agent("a1")
QUICK = TransportSettings(backoff_first=0.01, backoff_cap=0.05, close_timeout=0.5)


def log(text: str) -> agent.NotifyLog:
    return agent.NotifyLog("a1", text)


@contextlib.asynccontextmanager
async def zeek(talk: Callable[[web.WebSocketResponse], Awaitable[None]]) -> AsyncIterator[int]:
    """A server that speaks as written in ``talk``."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        upgraded = web.WebSocketResponse()
        await upgraded.prepare(request)
        await talk(upgraded)
        async for _ in upgraded:
            continue
        return upgraded

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


ACK = '{"type":"ack","endpoint":"zeek","version":"9.0.0"}'


async def test_takes_what_a_real_zeek_writes():
    plain = encode_event(topics.NODE, node.NotifyNodeHello("NAME"))
    metadata = b',{"@data-type":"vector","data":[]}'
    with_metadata = plain.replace(b"]}]}]}", b"]}" + metadata + b"]}]}")
    assert with_metadata != plain
    heard: list[str] = []

    async def talk(upgraded: web.WebSocketResponse) -> None:
        heard.append(await upgraded.receive_str())
        await upgraded.send_str(ACK)
        await upgraded.send_frame(with_metadata.replace(b"NAME", b"quirk \x01\\v\xff"), web.WSMsgType.TEXT)
        heard.append(await upgraded.receive_str())

    async with zeek(talk) as port, WebSocketBus("us") as us, Recorder(us) as sees:
        us.subscribe(topics.NODE)
        us.dial(HOST, port)
        assert (await sees.event(node.NotifyNodeHello)).event == node.NotifyNodeHello("quirk \x01\v\ufffd")
        us.publish(topics.NODE, node.NotifyNodeHello("sent"))
        us.hang_up(HOST, port)
        await sees.lost()
    assert topics.NODE in json.loads(heard[0])
    assert heard[1] == encode_event(topics.NODE, node.NotifyNodeHello("sent")).decode()


async def test_messages_before_the_ack_are_processed_after_it():
    async def talk(upgraded: web.WebSocketResponse) -> None:
        await upgraded.receive_str()
        await upgraded.send_str(encode_event(A1, log("early")).decode())
        await upgraded.send_str(ACK)
        await upgraded.send_str(encode_event(A1, log("late")).decode())

    async with zeek(talk) as port, WebSocketBus() as us, Recorder(us) as sees:
        us.subscribe(A1)
        us.dial(HOST, port)
        await sees.event(log("late"))
        assert [type(seen) for seen in sees.seen] == [PeerAdded, Delivery, Delivery]
        assert [seen.event for seen in sees.deliveries] == [log("early"), log("late")]


async def test_a_refused_subscription_is_tried_again():
    attempts = 0

    async def talk(upgraded: web.WebSocketResponse) -> None:
        nonlocal attempts
        attempts += 1
        await upgraded.receive_str()
        refusal = '{"type":"error","code":"deserialization_failed","context":"no"}'
        await upgraded.send_str(refusal if attempts < 3 else ACK)

    async with zeek(talk) as port, WebSocketBus(settings=QUICK) as us, Recorder(us) as sees:
        us.dial(HOST, port)
        await sees.added()
        assert attempts == 3
        assert us.metrics.handshakes_failed == 2


async def test_garbage_and_errors_from_a_server_are_counted_and_survived():
    async def talk(upgraded: web.WebSocketResponse) -> None:
        await upgraded.receive_str()
        await upgraded.send_str(ACK)
        await upgraded.send_str("garbage")
        await upgraded.send_bytes(b"binary")
        await upgraded.send_str('{"type":"error","code":"topic_forbidden","context":"no"}')
        await upgraded.send_str(ACK)
        await upgraded.send_str(encode_event(A1, log("fine")).decode())

    async with zeek(talk) as port, WebSocketBus() as us, Recorder(us) as sees:
        us.subscribe(A1)
        us.dial(HOST, port)
        await sees.event(log("fine"))
        assert (us.metrics.decode_errors, us.metrics.errors_received) == (2, 1)
        assert [type(seen) for seen in sees.seen] == [PeerAdded, Delivery]


async def test_a_server_that_never_acknowledges_is_given_up(log_says):
    async def talk(upgraded: web.WebSocketResponse) -> None:
        await upgraded.receive_str()

    settings = TransportSettings(handshake_timeout=0.1, close_timeout=0.1)
    async with zeek(talk) as port, WebSocketBus(settings=settings) as us:
        us.dial(HOST, port)
        await log_says("handshake timed out")
        assert us.peers() == ()


async def test_a_server_that_is_none_is_tried_again(log_says):
    accepted = asyncio.Event()

    async def speak_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(speak_nonsense, HOST, 0)
    async with server, WebSocketBus(settings=QUICK) as us:
        us.dial(HOST, server.sockets[0].getsockname()[1])
        await log_says("cannot connect to")
        accepted.clear()
        await asyncio.wait_for(accepted.wait(), 20)


@contextlib.asynccontextmanager
async def through_proxy() -> AsyncIterator[tuple[WebSocketBus, WebSocketBus, FaultyProxy]]:
    async with WebSocketBus("hub", QUICK) as hub, WebSocketBus("leaf", QUICK) as leaf:
        hub.subscribe(A1)
        leaf.subscribe(A1)
        async with FaultyProxy(HOST, await hub.listen(HOST, 0)) as proxy:
            leaf.dial(HOST, proxy.port)
            yield hub, leaf, proxy


async def test_a_connection_that_drops_in_mid_request():
    async with through_proxy() as (hub, leaf, proxy), Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
        await leaf_sees.added()
        pending = asyncio.ensure_future(leaf.request(A1, agent.GetNodesRequest("x"), 20))
        await hub_sees.event(agent.GetNodesRequest("x"))
        before = len(leaf_sees.seen)
        proxy.drop()
        await leaf_sees.lost()
        await leaf_sees.added(start=before)
        hub.publish(A1, agent.GetNodesResponse("x", Result("x")))  # the answer finds its way over the new one
        assert await pending == agent.GetNodesResponse("x", Result("x"))
        assert hub.peers() == tuple(seen.peer for seen in hub_sees.seen if isinstance(seen, PeerAdded))[1:]


async def test_a_connection_that_ends_within_a_frame():
    async with through_proxy() as (hub, leaf, proxy), Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
        await leaf_sees.added()
        proxy.cut_after(50_000)
        leaf.publish(A1, log("x" * 100_000))
        await hub_sees.lost()
        await leaf_sees.lost()
        proxy.cut_after(None)
        await leaf_sees.added(start=2)
        leaf.publish(A1, log("whole"))
        await hub_sees.event(log("whole"))
        assert [seen.event for seen in hub_sees.deliveries] == [log("whole")]


async def test_nobody_listens_for_a_while(log_says):
    async with through_proxy() as (_, leaf, proxy), Recorder(leaf) as leaf_sees:
        await leaf_sees.added()
        await proxy.refuse()
        proxy.drop()
        await leaf_sees.lost()
        await log_says("cannot connect to")
        await proxy.accept()
        await leaf_sees.added(start=2)


async def test_a_stalled_network_is_noticed_by_missing_pongs():
    settings = TransportSettings(ping_interval=0.02, pong_timeout=0.2, close_timeout=0.1, handshake_timeout=0.5)
    async with WebSocketBus("hub", settings) as hub, WebSocketBus("leaf", settings) as leaf:
        proxy = FaultyProxy(HOST, await hub.listen(HOST, 0))
        async with proxy, Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, proxy.port)
            await leaf_sees.added()
            await hub_sees.added()
            proxy.stall()
            assert "no pong" in (await leaf_sees.lost()).reason
            assert "no pong" in (await hub_sees.lost()).reason
            proxy.flow()
            await leaf_sees.added(start=2)


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(HOST).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_tls(log_says):
    server, client = contexts()
    async with WebSocketBus("hub") as hub, WebSocketBus("leaf") as leaf:
        hub.subscribe(A1)
        leaf.subscribe(A1)
        port = await hub.listen(HOST, 0, tls=ServerTls(lambda: server))
        async with Recorder(leaf) as leaf_sees, Recorder(hub) as hub_sees:
            leaf.dial(HOST, port, tls=ClientTls(lambda: client))
            await leaf_sees.added()
            leaf.publish(A1, log("x" * 1_000_000))
            await hub_sees.event(agent.NotifyLog)
            hub.publish(A1, log("back"))
            await leaf_sees.event(log("back"))
        async with WebSocketBus("stranger", QUICK) as stranger:
            stranger.dial(HOST, port, tls=ClientTls(ssl.create_default_context))
            await log_says("CERTIFICATE_VERIFY_FAILED")
            assert stranger.peers() == ()


async def test_a_client_that_takes_leave_over_tls(caplog: pytest.LogCaptureFixture):
    """The transport may have let go of everything by the time the connection is closed on our side."""
    server, client = contexts()
    async with WebSocketBus("hub") as hub:
        port = await hub.listen(HOST, 0, tls=ServerTls(lambda: server))
        peer = RawPeer(port)
        peer._reader, peer._writer = await asyncio.open_connection(HOST, port, ssl=client)
        await peer.subscribe()
        peer.text(struct.pack("!H", 1000), CLOSE)
        await peer.ended()
        peer.writer.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_unix_socket_is_private_replaces_a_stale_one_and_goes_at_the_end(tmp_path):
    path = tmp_path / "socket"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    async with WebSocketBus() as hub:
        await hub.listen(f"unix:{path}", 0)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [entry.name for entry in tmp_path.iterdir()] == ["socket"]
        async with WebSocketBus() as second:
            with pytest.raises(ListenError, match="listens there already"):
                await second.listen(f"unix:{path}", 0)
        assert path.exists()
    assert not path.exists()


async def test_unix_socket_never_replaces_a_file(tmp_path):
    path = tmp_path / "precious"
    path.write_text("content")
    async with WebSocketBus() as hub:
        with pytest.raises(ListenError, match="no socket"):
            await hub.listen(f"unix:{path}", 0)
        with pytest.raises(ListenError, match="No such file"):
            await hub.listen(f"unix:{tmp_path}/missing/socket", 0)
    assert path.read_text() == "content"


async def test_a_name_that_cannot_be_resolved_is_named():
    async with WebSocketBus() as hub:
        with pytest.raises(ListenError, match=r"no-such-host\.invalid:0"):
            await hub.listen("no-such-host.invalid", 0)


async def test_ipv6():
    async with WebSocketBus() as hub, WebSocketBus() as leaf, Recorder(leaf) as leaf_sees:
        try:
            port = await hub.listen("::1", 0)
        except ListenError as error:
            pytest.skip(f"no IPv6 here: {error}")
        leaf.dial("::1", port)
        await leaf_sees.added()
        assert hub.peers()[0].host == "::1"


async def test_a_backlog_of_large_events_arrives_whole():
    async with WebSocketBus() as hub, WebSocketBus() as leaf:
        hub.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await leaf_sees.added()
            sent = [log(f"{number}" + "é" * 500_000) for number in range(10)]
            for event in sent:
                leaf.publish(A1, event)
            await hub_sees.event(sent[-1])
            assert [seen.event for seen in hub_sees.deliveries] == sent
            assert not [seen for seen in leaf_sees.seen if isinstance(seen, PeerLost)]
