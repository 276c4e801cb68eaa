"""Whoever shows no certificate where it could have: it may ask for one, for a while, and do nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.certificates import issue
from support.examples import EVENTS, example, generation_of
from support.raw_peer import RawPeer
from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events.certificates import AuthorityRequest, JoinRequest, JoinResponse
from zeekfleet.broker.messages import encode_event
from zeekfleet.daemon import buses
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.security.permissions import TABLE, Role
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.encryption import ServerTls
from zeekfleet.transport.listener import APPLICANTS_FRAME, NO_CERTIFICATE
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.tls import TlsFiles, client_context, server_context
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
OPEN = buses.agents_policy(and_clients=False, and_applicants=True)
UPGRADE = b"GET / HTTP/1.1\r\n\r\n"
CLOSED = buses.agents_policy(and_clients=False)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PkiDirectory:
    return PkiDirectory.create(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture(scope="module")
def server(pki: PkiDirectory) -> TlsFiles:
    return issue(pki, "controller/c1", HOST)


def door(files: TlsFiles) -> ssl.SSLContext:
    context = server_context(files)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@asynccontextmanager
async def listening(
    files: TlsFiles, policy: ListenerPolicy = OPEN, **settings: float
) -> AsyncIterator[tuple[WebSocketBus, int]]:
    async with WebSocketBus("hub", TransportSettings(close_timeout=0.5, **settings)) as hub:  # type: ignore[arg-type]
        hub.subscribe("")
        yield hub, await hub.listen(HOST, 0, policy=policy, tls=ServerTls(functools.partial(door, files)))


@asynccontextmanager
async def applicant(port: int, files: TlsFiles) -> AsyncIterator[RawPeer]:
    peer = RawPeer(port)
    context = client_context(TlsFiles(authorities=files.authorities))
    peer._reader, peer._writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        yield peer
    finally:
        peer.writer.transport.abort()


async def test_it_may_say_two_requests_and_nothing_else(server: TlsFiles) -> None:
    said = [
        encode_event(topic, example(event, "a1"), generation_of(event))
        for event in EVENTS
        for topic in (topics.CONTROLLER, topics.agent("a1"))
    ]
    async with listening(server) as (hub, port), Recorder(hub) as sees, applicant(port, server) as peer:
        await peer.subscribe(topics.CONTROLLER)
        assert (await sees.added()).identity is None
        for frame in said:
            peer.text(frame.decode())
        peer.writer.transport.close()
        await sees.lost()
        assert {type(seen.event) for seen in sees.deliveries} == {AuthorityRequest, JoinRequest}
        assert hub.metrics.forbidden == len(said) - 2


async def test_it_hears_only_what_it_is_answered(server: TlsFiles) -> None:
    async with listening(server) as (hub, port), applicant(port, server) as peer, Recorder(hub) as sees:
        refused = await peer.subscribe("", topics.CONTROLLER)
        assert refused["type"] == "ack"
        await sees.added()
        for event, row in TABLE.items():
            if Role.APPLICANT not in row.hear:
                hub.publish(topics.CONTROLLER, example(event, "a1"), generation_of(event))
        hub.publish(topics.CONTROLLER, JoinResponse("r", "", ""))
        while (message := await peer.message())["type"] == "error":
            pass
        assert "join_response" in str(message)


async def test_a_certificate_counts_for_what_it_is(pki: PkiDirectory, server: TlsFiles) -> None:
    agent = issue(pki, "agent/a1")
    peer = RawPeer(0)
    async with listening(server) as (hub, port), Recorder(hub) as sees:
        peer._reader, peer._writer = await asyncio.open_connection(HOST, port, ssl=client_context(agent))
        await peer.subscribe(topics.CONTROLLER)
        assert (await sees.added()).identity == Identity(PeerRole.AGENT, "a1")
        peer.writer.transport.abort()


async def test_a_certificate_that_does_not_count_is_not_taken_for_none(server: TlsFiles, tmp_path: Path) -> None:
    other = issue(PkiDirectory.create(tmp_path / "pki"), "agent/a1")
    context = client_context(TlsFiles(other.certificate, other.key, server.authorities))
    async with listening(server) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        with contextlib.suppress(OSError):
            writer.write(UPGRADE)
            assert await reader.read() == b""
        writer.transport.abort()


async def test_where_nobody_may_ask_it_is_told_so(server: TlsFiles) -> None:
    async with listening(server, CLOSED) as (hub, port), applicant(port, server) as peer:
        head = await peer.upgrade()
        assert head.startswith("HTTP/1.1 403 ")
        assert NO_CERTIFICATE in head
        assert hub.metrics.strangers_refused == 1


async def test_its_frames_are_small(server: TlsFiles) -> None:
    async with listening(server) as (_, port), applicant(port, server) as peer:
        head = await peer.upgrade()
        assert f"X-Zeekfleet-Frame-Limit: {APPLICANTS_FRAME}" in head
        peer.text(f'["{topics.CONTROLLER}"]')
        assert (await peer.message())["type"] == "ack"
        peer.text(" " * (APPLICANTS_FRAME + 1))
        assert await peer.close_code() == 1009


async def test_it_has_little_time_for_all_that_it_wants(server: TlsFiles) -> None:
    async with (
        listening(server, handshake_timeout=0.3) as (hub, port),
        applicant(port, server) as peer,
        Recorder(hub) as sees,
    ):
        await peer.subscribe(topics.CONTROLLER)
        await sees.added()
        await sees.lost()


async def test_applicants_do_not_take_the_place_of_others(pki: PkiDirectory, server: TlsFiles) -> None:
    """They give way to each other, and count for nothing among the connections."""
    agent = issue(pki, "agent/a1")
    async with (
        listening(server, handshakes=2, connections=1) as (hub, port),
        Recorder(hub) as sees,
        applicant(port, server) as first,
        applicant(port, server) as second,
    ):
        for number, peer in enumerate((first, second)):
            await peer.subscribe(topics.CONTROLLER)
            await sees.added(start=number)
        served = RawPeer(port)
        served._reader, served._writer = await asyncio.open_connection(HOST, port, ssl=client_context(agent))
        assert (await served.upgrade()).startswith("HTTP/1.1 101 ")
        await sees.lost()  # the first has given way
        served.writer.transport.abort()
