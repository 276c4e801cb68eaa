"""Ports that are reserved for programs that will listen there later."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import closing

import pytest

from support.ports import free_ports
from zeekfleet.system.ports import NAME, is_listened_on, reserve, reserve_any, reserve_available

LOOPBACK = "127.0.0.1"
IP_LOCAL_PORT_RANGE = 51
"""Linux 6.3: the range out of which the kernel chooses for one socket."""


def confined_to(port: int) -> socket.socket:
    """A socket for which the kernel may choose this port only."""
    made = socket.socket()
    try:
        made.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", port << 16 | port))
    except OSError as error:
        made.close()
        if error.errno == errno.ENOPROTOOPT:
            pytest.skip("the kernel knows no port range of a single socket (Linux 6.3)")
        raise
    return made


def test_a_reserved_port_can_be_listened_on_but_is_not_chosen() -> None:
    with reserve_any(LOOPBACK, 1) as reserved, closing(socket.create_server((LOOPBACK, 0))) as elsewhere:
        [port] = reserved.numbers
        with confined_to(port) as other, pytest.raises(OSError, match="in use"):
            other.bind((LOOPBACK, 0))
        with confined_to(port) as other, pytest.raises(OSError, match="annot assign"):
            other.connect(elsewhere.getsockname())
        with socket.socket() as plain, pytest.raises(OSError, match="in use"):
            plain.bind((LOOPBACK, port))
        assert not is_listened_on(LOOPBACK, port)
        with closing(socket.create_server((LOOPBACK, port))) as server:
            assert is_listened_on(LOOPBACK, port)
            with closing(socket.create_connection((LOOPBACK, port), 5)), closing(server.accept()[0]):
                reserved.close()


def test_the_second_to_reserve_gets_none_of_the_ports() -> None:
    first, second, third = free_ports(3)
    with reserve(LOOPBACK, (first, second)) as reserved:
        assert reserved.numbers == (first, second)
        assert reserve(LOOPBACK, (second, third)) is None
        assert reserve("127.0.0.2", (second,)) is None, "another address"
        with reserve(LOOPBACK, (third,)) as other:
            assert other.numbers == (third,), "it was let go of again"
    with reserve(LOOPBACK, (second, third)) as reserved:
        assert reserved.numbers == (second, third)


def test_a_port_in_use_cannot_be_kept() -> None:
    [port] = free_ports()
    with closing(socket.create_server((LOOPBACK, port))):
        assert reserve(LOOPBACK, (port,)) is None
        with reserve_available(LOOPBACK, (port,)) as settled:
            assert settled.numbers == (port,)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name, pytest.raises(OSError, match="in use"):
                name.bind(NAME.format(port))
    with reserve(LOOPBACK, (port,)) as reserved:
        assert reserved is not None


def test_an_address_of_another_host_is_no_obstacle() -> None:
    [port] = free_ports()
    with reserve("192.0.2.1", (port,)) as reserved:
        assert reserved.numbers == (port,)
        assert reserve(LOOPBACK, (port,)) is None
    with pytest.raises(OSError, match="annot assign"):
        reserve_any("192.0.2.1", 1)
    assert not is_listened_on("192.0.2.1", port)


def test_ports_that_are_reserved_already_are_skipped() -> None:
    with reserve_any(LOOPBACK, 20) as reserved:
        assert len(set(reserved.numbers)) == 20
        with reserve_any(LOOPBACK, 20) as others:
            assert not set(others.numbers) & set(reserved.numbers)
