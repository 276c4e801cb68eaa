"""Listeners that know their peers by certificates: what each may be, say and send."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.certificates import issue
from support.raw_peer import RawPeer
from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events.presence import NotifyAlive
from zeekfleet.daemon import buses
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.security.access import AccessControl, SocketOwner
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.security.users import ServedUsers
from zeekfleet.security.web_pages import own_names
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.tls import TlsFiles, client_context, server_context
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
POLICIES = {
    "clients": buses.clients_policy("c1", "none"),
    "agents": buses.agents_policy(and_clients=False),
    "agent": buses.agent_policy("a1"),
}
SERVED = {
    "clients": {"viewer/v", "operator/o", "admin/a", "controller/c1"},
    "agents": {"agent/a1"},
    "agent": {"controller/c1", "controller/c2"},
}
OWNERS = sorted(set.union(*SERVED.values()))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PkiDirectory:
    return PkiDirectory.create(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture(scope="module")
def files(pki: PkiDirectory) -> dict[str, TlsFiles]:
    return {owner: issue(pki, owner, HOST) for owner in (*OWNERS, "controller/server")}


@asynccontextmanager
async def listening(files: TlsFiles, policy: ListenerPolicy, **settings: int) -> AsyncIterator[int]:
    async with WebSocketBus("hub", TransportSettings(close_timeout=0.5, **settings)) as hub:
        hub.subscribe(topics.CONTROLLER)
        yield await hub.listen(HOST, 0, policy=policy, tls=ServerTls(functools.partial(server_context, files)))


async def upgraded(port: int, files: TlsFiles) -> tuple[RawPeer, str]:
    peer = RawPeer(port)
    peer._reader, peer._writer = await asyncio.open_connection(HOST, port, ssl=client_context(files))
    return peer, await peer.upgrade()


@pytest.mark.parametrize("listener", sorted(POLICIES))
@pytest.mark.parametrize("owner", OWNERS)
async def test_each_listener_serves_its_own_roles_only(files: dict[str, TlsFiles], listener: str, owner: str) -> None:
    async with listening(files["controller/server"], POLICIES[listener]) as port:
        peer, head = await upgraded(port, files[owner])
        peer.writer.transport.abort()
    assert head.startswith("HTTP/1.1 101 " if owner in SERVED[listener] else "HTTP/1.1 403 ")
    assert owner not in head


@pytest.mark.parametrize("unnamed", ["viewer", "none"])
def test_a_certificate_without_role_makes_what_the_settings_say(unnamed: str) -> None:
    actors = buses.clients_policy("c1", unnamed).certified(None)
    assert [actor.role.value for actor in actors] == ([] if unnamed == "none" else [unnamed])
    assert buses.agents_policy(and_clients=False).certified(None) == ()


def test_the_certificate_of_another_controller_is_no_clients() -> None:
    assert buses.clients_policy("c1", "admin").certified(Identity(PeerRole.CONTROLLER, "c2")) == ()


@pytest.mark.parametrize(("owner", "is_taken"), [("viewer/v", False), ("operator/o", False), ("admin/a", True)])
async def test_who_cannot_deploy_sends_nothing_large(files: dict[str, TlsFiles], owner: str, is_taken: bool) -> None:
    async with listening(files["controller/server"], POLICIES["clients"], reader_frame_bytes=10_000) as port:
        peer, head = await upgraded(port, files[owner])
        assert f"X-Zeekfleet-Frame-Limit: {2**24 if is_taken else 10_000}" in head
        peer.text('["zeek/management/controller"]')
        assert (await peer.message())["type"] == "ack"
        for size in (9_000, 20_000):
            peer.text(" " * size)
        assert (await peer.message())["type"] == "error"
        if is_taken:
            assert (await peer.message())["type"] == "error"
        else:
            assert await peer.close_code() == 1009
        peer.writer.transport.abort()


@pytest.mark.parametrize(
    ("role", "name", "problem"),
    [
        (PeerRole.CONTROLLER, "", ""),
        (PeerRole.CONTROLLER, "server", ""),
        (PeerRole.CONTROLLER, "other", "its certificate is that of controller/server: expected controller/other"),
        (PeerRole.AGENT, "", "its certificate is that of controller/server: expected agent/NAME"),
    ],
)
async def test_whoever_dials_looks_whose_certificate_it_is(
    files: dict[str, TlsFiles], role: PeerRole, name: str, problem: str, log_says: object
) -> None:
    tls = ClientTls(functools.partial(client_context, files["agent/a1"]), role, name)
    async with listening(files["controller/server"], POLICIES["agents"]) as port, WebSocketBus("leaf") as leaf:
        leaf.subscribe(topics.agent("a1"))
        async with Recorder(leaf) as sees:
            leaf.dial(HOST, port, tls=tls)
            if problem:
                await log_says(problem)  # type: ignore[operator]
                assert leaf.peers() == ()
            else:
                await sees.added()


async def test_peers_of_this_host_may_come_without_tls_where_that_is_said(files: dict[str, TlsFiles]) -> None:
    context = functools.partial(server_context, files["controller/server"])
    for plain_here in (True, False):
        async with WebSocketBus("hub", TransportSettings(close_timeout=0.5)) as hub:
            tls = ServerTls(context, plain_here=plain_here)
            port = await hub.listen(HOST, 0, policy=POLICIES["clients"], tls=tls, access=_everybody())
            async with RawPeer(port) as peer:
                head = await peer.upgrade()
        assert head.startswith("HTTP/1.1 101 " if plain_here else "HTTP/1.1 403 ")
        assert ("this port speaks TLS" in head) is not plain_here


async def test_connections_are_made_anew_when_other_certificates_count(
    pki: PkiDirectory, files: dict[str, TlsFiles], tmp_path: Path
) -> None:
    tls = ClientTls(functools.partial(client_context, files["agent/a1"]))
    async with WebSocketBus("hub") as hub, WebSocketBus("leaf", TransportSettings(backoff_first=0.01)) as leaf:
        server = ServerTls(functools.partial(server_context, files["controller/server"]))
        port = await hub.listen(HOST, 0, policy=POLICIES["agents"], tls=server)
        async with Recorder(leaf) as leaf_sees, Recorder(hub) as hub_sees:
            leaf.dial(HOST, port, tls=tls)
            await leaf_sees.added()
            assert (await hub_sees.added()).identity == Identity(PeerRole.AGENT, "a1")
            hub.recheck()
            assert (await hub_sees.lost()).reason == "other certificates count now"
            await leaf_sees.added(start=2)


@pytest.mark.parametrize("revoked", ["agent", "server"])
async def test_only_connections_of_revoked_certificates_end(
    pki: PkiDirectory, files: dict[str, TlsFiles], revoked: str
) -> None:
    """Also one that has had its handshake before, and is ready only now."""
    tls = ClientTls(functools.partial(client_context, files["agent/a1"]))
    owners = {one.name: int(one.serial, 16) for one in pki.issued() if one.name in ("a1", "server")}
    async with WebSocketBus("hub") as hub, WebSocketBus("leaf", TransportSettings(backoff_first=0.01)) as leaf:
        server = ServerTls(functools.partial(server_context, files["controller/server"]))
        port = await hub.listen(HOST, 0, policy=POLICIES["agents"], tls=server)
        bus, number = (hub, owners["a1"]) if revoked == "agent" else (leaf, owners["server"])
        hub.subscribe(topics.AGENT_PREFIX)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            sees = hub_sees if bus is hub else leaf_sees
            leaf.dial(HOST, port, tls=tls)
            await hub_sees.added()
            await leaf_sees.added()
            bus.recheck({number + 1})
            leaf.publish(topics.agent("a1"), NotifyAlive("a1"))
            await hub_sees.event(NotifyAlive)
            bus.recheck({number})
            first = await sees.lost()
            second = await sees.lost(start=sees.seen.index(first) + 1)
        assert (first.reason, second.reason) == ("other certificates count now",) * 2


def _everybody() -> AccessControl:
    return AccessControl(ServedUsers(), own_names(), lambda connection: SocketOwner(0))
