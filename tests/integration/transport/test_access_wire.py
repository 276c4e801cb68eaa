"""Access control of a listener, on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import pytest
import trustme

from support.ports import free_ports
from support.raw_peer import RawPeer
from support.recorder import Recorder
from support.waiting import async_until
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.topics import EVERYTHING
from zeekfleet.client.link import Retry, connect
from zeekfleet.errors import TransportError
from zeekfleet.model.enums import Role
from zeekfleet.security.access import AccessControl, SocketOwner
from zeekfleet.security.users import ServedUsers
from zeekfleet.security.web_pages import own_names
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.websocket import WebSocketBus

STRANGER = 2**31 - 7
"""A user that no host has."""


def access(uid: int | None) -> AccessControl:
    """One to which everybody is this user."""
    return AccessControl(ServedUsers(frozenset({1})), own_names(), lambda _: None if uid is None else SocketOwner(uid))


async def test_a_stranger_gets_403_before_it_has_said_a_word():
    async with WebSocketBus() as endpoint:
        port = await endpoint.listen("127.0.0.1", 0, access=access(STRANGER))
        async with RawPeer(port) as peer:
            answer = (await peer.ended()).decode()
            assert answer.startswith("HTTP/1.1 403 Forbidden\r\n")
            assert f"user {STRANGER} is not served here" in answer
        async with RawPeer(port) as peer:
            assert "403" in (await peer.upgrade()).splitlines()[0]
        assert endpoint.metrics.strangers_refused == 2
        assert endpoint.peers() == ()


@pytest.mark.parametrize("uid", [0, 1])
async def test_who_is_served_notices_nothing(uid):
    async with WebSocketBus() as endpoint:
        port = await endpoint.listen("127.0.0.1", 0, access=access(uid))
        async with RawPeer(port) as peer:
            assert (await peer.subscribe(*EVERYTHING))["type"] == "ack"


async def test_whose_socket_nobody_has_is_not_served(log_says):
    async with WebSocketBus() as endpoint:
        port = await endpoint.listen("127.0.0.1", 0, access=access(None))
        async with RawPeer(port) as peer:
            assert (await peer.ended()).startswith(b"HTTP/1.1 403")
        await log_says("belongs to no process of this network namespace")


async def test_a_unix_socket_has_the_same_access_control(tmp_path):
    async with WebSocketBus() as endpoint:
        path = tmp_path / "socket"
        await endpoint.listen(f"unix:{path}", 0, access=access(STRANGER))
        reader, writer = await asyncio.open_unix_connection(str(path))
        assert (await reader.read()).startswith(b"HTTP/1.1 403")
        writer.close()


async def test_a_stranger_that_has_gone_already_is_no_fault_of_ours():
    """A port scanner closes its connection before it is accepted; a thousand of them must not fill the log."""
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with WebSocketBus() as endpoint:
        port = await endpoint.listen("127.0.0.1", 0, access=access(STRANGER))
        for _ in range(3):
            socket.create_connection(("127.0.0.1", port)).close()
        async with RawPeer(port) as last:  # so the others have had their turn
            assert b"403" in await last.reader.readline()
        assert endpoint.metrics.strangers_refused == 4
    assert not faults


async def test_a_stranger_that_sends_on_and_on_is_cut_off():
    async with WebSocketBus() as endpoint:
        port = await endpoint.listen("127.0.0.1", 0, access=access(STRANGER))
        async with RawPeer(port) as peer, asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while not peer.writer.is_closing():
                    peer.raw(b"x" * 65536)
                    await peer.writer.drain()


async def test_the_reason_reaches_clients(log_says):
    async with WebSocketBus() as endpoint, WebSocketBus() as other:
        port = await endpoint.listen("127.0.0.1", 0, access=access(STRANGER))
        with pytest.raises(TransportError, match=f"user {STRANGER} is not served here: see --allow-user"):
            await asyncio.to_thread(connect, "127.0.0.1", port, retry=Retry(1, 5.0))
        other.dial("127.0.0.1", port)
        await log_says("we are not served there (403): user ")


async def test_where_certificates_are_wanted_they_decide():
    """A user with a certificate is served, whoever it is; one of a foreign web page is not even then."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(server)
    authority.configure_trust(client)
    server.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("client.example").configure_cert(client)
    async with WebSocketBus() as endpoint:
        port = await endpoint.listen("127.0.0.1", 0, tls=ServerTls(lambda: server), access=access(STRANGER))
        for origin, expected in ((None, "101"), ("https://evil.example", "403")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            peer = RawPeer(port)
            peer._reader, peer._writer = reader, writer
            answer = await peer.upgrade(**({"Origin": origin} if origin else {}))
            assert expected in answer.splitlines()[0]
            writer.close()


async def test_tls_without_certificates_still_has_access_control():
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with WebSocketBus() as endpoint:
        port = await endpoint.listen("127.0.0.1", 0, tls=ServerTls(lambda: server), access=access(STRANGER))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        assert (await reader.readline()).startswith(b"HTTP/1.1 403")
        writer.close()


async def test_connections_that_are_being_made_do_not_hold_up_the_end():
    """Half a TLS handshake, and a stranger that does not close."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with asyncio.timeout(8):
        async with WebSocketBus() as endpoint:
            half = await endpoint.listen("127.0.0.1", 0, tls=ServerTls(lambda: context))
            plain = await endpoint.listen("127.0.0.1", 0, access=access(STRANGER))
            with socket.create_connection(("127.0.0.1", half)), socket.create_connection(("127.0.0.1", plain)) as idle:
                await asyncio.to_thread(idle.recv, 1)
                await endpoint.__aexit__(None, None, None)
                await endpoint.__aenter__()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_a_stranger_that_listens_where_we_dial_is_hung_up_on(kind, tmp_path, log_says):
    request = agent.GetNodesRequest("an order")
    async with WebSocketBus("squatter") as squatter, WebSocketBus("agent", access=access(STRANGER)) as dialling:
        dialling.subscribe("")
        host = "127.0.0.1" if kind == "tcp" else f"unix:{tmp_path / 'socket'}"
        port = free_ports()[0] if kind == "tcp" else 0
        async with Recorder(dialling) as dialling_sees:
            dialling.dial(host, port, label="controller")
            await log_says(f"cannot connect to controller {host}")  # nobody is there yet
            await squatter.listen(host, port)
            await log_says(f"a program of user {STRANGER} listens there, and is not obeyed")
            squatter.publish(topics.agent("a1"), request)
            dialling.hang_up(host, port)
        assert dialling_sees.seen == []
        assert dialling.metrics.strangers_refused >= 1


@pytest.mark.parametrize("uid", [0, 1])
async def test_whoever_is_served_is_obeyed(uid):
    async with WebSocketBus() as listening, WebSocketBus(access=access(uid)) as dialling:
        port = await listening.listen("127.0.0.1", 0)
        async with Recorder(dialling) as sees:
            dialling.dial("127.0.0.1", port)
            await sees.added()


async def test_where_tls_is_spoken_the_certificate_tells_who_listens():
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with WebSocketBus() as listening, WebSocketBus(access=access(STRANGER)) as dialling:
        port = await listening.listen("127.0.0.1", 0, tls=ServerTls(lambda: server))
        async with Recorder(dialling) as sees:
            dialling.dial("127.0.0.1", port, tls=ClientTls(lambda: client))
            await sees.added()


async def test_who_may_be_a_node_is_obeyed_only_where_a_node_is_dialled():
    strangers = access(STRANGER)
    nodes = strangers.including(STRANGER)
    async with WebSocketBus() as listening, WebSocketBus(access=strangers, nodes_access=nodes) as dialling:
        first = await listening.listen("127.0.0.1", 0)
        second = await listening.listen("127.0.0.1", 0)
        async with Recorder(dialling) as sees:
            dialling.dial("127.0.0.1", first, role=Role.CONTROLLER)
            dialling.dial("127.0.0.1", second, role=Role.NODE)
            assert (await sees.added()).role is Role.NODE
            await async_until(lambda: dialling.metrics.strangers_refused)
            assert len(dialling.peers()) == 1
