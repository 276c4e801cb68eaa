"""Reserves TCP ports for programs that will listen on them later.

A reserved port is bound by a socket with SO_REUSEADDR that never listens. The kernel does not give such a port to a
program that asks for any free port, neither to listen nor to connect. But a program that binds this very port with
SO_REUSEADDR, as servers do, can listen on it.

Two processes could bind the same port in this way without noticing. So each reserved port has a Unix socket in the
abstract namespace as well, whose name only one process can bind. These names belong to the network namespace, as ports
do, and the kernel frees both when the process ends.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Sequence

NAME = "\0zeekfleet-port-{}"
TRIES = 64
"""How many ports are tried until one is found whose name is free."""


class ReservedPorts:
    """Reserved ports. Closing this, or the end of the process, frees them.

    Attributes:
        numbers: the ports, in the order in which they were asked for.
    """

    def __init__(self, numbers: Sequence[int], sockets: Iterable[socket.socket]) -> None:
        self.numbers = tuple(numbers)
        self._sockets = tuple(sockets)

    def close(self) -> None:
        """Free the ports. Programs that listen on them are not affected."""
        for held in self._sockets:
            held.close()

    def __enter__(self) -> ReservedPorts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reserve(host: str, ports: Sequence[int]) -> ReservedPorts | None:
    """Reserve these ports; None if one of them is reserved or used by another process.

    Args:
        host: the address for which they are needed; it may be one of another host.
        ports: their numbers.
    """
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        try:
            for port in ports:
                sockets.append(stack.enter_context(_named(port)))
                with contextlib.suppress(_NotOfThisHostError):
                    sockets.append(stack.enter_context(_bound(host, port)))
        except OSError:
            return None
        stack.pop_all()
        return ReservedPorts(ports, sockets)


def reserve_available(host: str, ports: Sequence[int]) -> ReservedPorts:
    """Reserve as many of these ports as possible. Some may be in use already by the programs that they are for."""
    sockets: list[socket.socket] = []
    for port in ports:
        with contextlib.suppress(OSError):
            sockets.append(_named(port))
        with contextlib.suppress(OSError):
            sockets.append(_bound(host, port))
    return ReservedPorts(ports, sockets)


def reserve_any(host: str, count: int) -> ReservedPorts:
    """Reserve ``count`` free ports.

    Raises:
        OSError: there are not enough, or the address is not of this host.
    """
    with contextlib.ExitStack() as stack:
        numbers: list[int] = []
        sockets: list[socket.socket] = []
        for _ in range(count + TRIES):
            if len(numbers) == count:
                stack.pop_all()
                return ReservedPorts(numbers, sockets)
            bound = stack.enter_context(_bound(host, 0))
            number = int(bound.getsockname()[1])
            with contextlib.suppress(OSError):
                sockets += (stack.enter_context(_named(number)), bound)
                numbers.append(number)
    raise OSError(errno.EADDRINUSE, f"no {count} ports are free on {host}")


def is_listened_on(host: str, port: int) -> bool:
    """Whether a program listens on the port; a reservation does not count."""
    try:
        _bound(host, port).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


class _NotOfThisHostError(OSError):
    """The address is not one of this host."""


def _named(port: int) -> socket.socket:
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(NAME.format(port))
    except OSError:
        name.close()
        raise
    return name


def _bound(host: str, port: int) -> socket.socket:
    try:
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise _NotOfThisHostError(*error.args) from None
    try:
        # A given port may have old connections in TIME_WAIT, which this option ignores. Without it, the kernel chooses
        # only ports that nothing uses at all.
        if port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise _NotOfThisHostError(*error.args) from None
        raise
    return bound
