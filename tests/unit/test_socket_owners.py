"""Which user a TCP connection belongs to, by both ways to ask the kernel."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeekfleet.system.socket_owners import Ends, Owner, SocketOwners, program_of, program_with
from zeekfleet.system.unix_sockets import unix_peer

_CLONE_NEWNET = 0x40000000


@pytest.fixture(params=["netlink", "proc"])
def owners(request: pytest.FixtureRequest) -> Iterator[SocketOwners]:
    made = SocketOwners()
    if request.param == "proc":
        made.close()
    elif made.way != "netlink":
        pytest.skip("the kernel does not answer NETLINK_SOCK_DIAG here")
    yield made
    made.close()


@contextlib.contextmanager
def connection(family: socket.AddressFamily, address: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket and the one that was accepted for it."""
    with socket.socket(family) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip(f"{address} cannot be used here")
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0] as accepted:
            yield client, accepted


def peer_of(accepted: socket.socket) -> Ends:
    """The two ends as the other side sees them."""
    return Ends(accepted.getpeername()[:2], accepted.getsockname()[:2])


PLACES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")]


@pytest.mark.parametrize(("family", "address"), PLACES)
def test_a_connection_belongs_to_its_user(owners: SocketOwners, family: socket.AddressFamily, address: str) -> None:
    with connection(family, address) as (client, accepted):
        inode = os.fstat(client.fileno()).st_ino
        assert owners.owner(peer_of(accepted)) == Owner(os.geteuid(), inode)


@pytest.mark.parametrize(("family", "address"), PLACES)
def test_a_closed_connection_belongs_to_nobody(
    owners: SocketOwners, family: socket.AddressFamily, address: str
) -> None:
    """The kernel still knows the connection, and gives root as its owner."""
    with connection(family, address) as (client, accepted):
        client.close()
        assert accepted.recv(1) == b""
        assert owners.owner(peer_of(accepted)) is None


def test_another_connection_is_not_confused_with_it(owners: SocketOwners) -> None:
    """Neither a connection with another port, nor the listener on the same port."""
    with connection(socket.AF_INET, "127.0.0.1") as (_, accepted), socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert owners.owner(Ends(listener.getsockname(), accepted.getsockname())) is None
        assert owners.owner(Ends(("127.0.0.3", accepted.getpeername()[1]), accepted.getsockname())) is None


def test_a_half_closed_connection_still_has_its_owner(owners: SocketOwners) -> None:
    with connection(socket.AF_INET, "127.0.0.1") as (client, accepted):
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        assert owners.owner(peer_of(accepted)) is not None


def test_only_our_own_network_namespace_is_seen() -> None:
    """In another namespace, a connection of this one belongs to nobody."""
    found: list[SocketOwners | OSError] = []

    def elsewhere() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET):
            found.append(OSError(ctypes.get_errno(), "unshare"))
        else:
            found.append(SocketOwners())

    thread = threading.Thread(target=elsewhere)  # the namespace is the thread's own, and goes with it
    thread.start()
    thread.join()
    (there,) = found
    if isinstance(there, OSError) or there.way != "netlink":
        pytest.skip("no network namespace can be made here")
    with connection(socket.AF_INET, "127.0.0.1") as (_, accepted):
        assert there.owner(peer_of(accepted)) is None
    there.close()


def test_proc_is_read_if_netlink_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = SocketOwners()
    if owners.way != "netlink":
        pytest.skip("the kernel does not answer NETLINK_SOCK_DIAG here")
    owners._netlink.close()
    monkeypatch.setattr("zeekfleet.system.socket_owners._open_netlink", lambda: None)
    with connection(socket.AF_INET, "127.0.0.1") as (_, accepted):
        assert owners.owner(peer_of(accepted)) is not None
    assert owners.way == "proc"


def test_the_program_is_found() -> None:
    own = str(Path("/proc/self/exe").readlink())
    assert program_of(os.getpid()) == own
    assert program_of(2**22 + 1) == ""
    with connection(socket.AF_INET, "127.0.0.1") as (client, _):
        assert program_with(Owner(Path("/proc/self").stat().st_uid, os.fstat(client.fileno()).st_ino)) == own
    assert program_with(Owner(2**31 - 7, 1)) == ""


def test_a_unix_socket_has_its_peers_credentials() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert unix_peer(ours) == (os.getpid(), os.geteuid())
