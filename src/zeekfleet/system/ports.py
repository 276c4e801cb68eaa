"""Keeps TCP ports for programs that will listen on them later.

A kept port is bound, by a socket with SO_REUSEADDR that never listens. The kernel then gives it to nobody who asks for
any port, be it to listen or to connect from; a program that binds this very port, with SO_REUSEADDR as servers do, may
listen on it all the same. Two keepers would not notice each other that way, so each port is also a name: a Unix socket
in the abstract namespace. Like the ports, these names belong to a network namespace, whoever its processes are and
whatever files they see, and the kernel takes both back when their process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Sequence

NAME = "\0zeekfleet-port-{}"
TRIES = 64
"""How many ports the kernel is asked for until one is found whose name is free."""


class KeptPorts:
    """Ports that are kept for us; closing it, or the end of the process, lets go of them.

    Attributes:
        numbers: the ports, in the order asked for.
    """

    def __init__(self, numbers: Sequence[int], sockets: Iterable[socket.socket]) -> None:
        self.numbers = tuple(numbers)
        self._sockets = tuple(sockets)

    def close(self) -> None:
        """Let go; who listens there is not disturbed."""
        for held in self._sockets:
            held.close()

    def __enter__(self) -> KeptPorts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def keep(host: str, ports: Sequence[int]) -> KeptPorts | None:
    """Keep these ports: all of them, or none if somebody else keeps or uses one.

    Args:
        host: the address that they are needed on; it need not be of this host.
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
        return KeptPorts(ports, sockets)


def keep_what_can_be(host: str, ports: Sequence[int]) -> KeptPorts:
    """The same for ports that are settled, and maybe in use by those they are kept for: as far as it goes."""
    sockets: list[socket.socket] = []
    for port in ports:
        with contextlib.suppress(OSError):
            sockets.append(_named(port))
        with contextlib.suppress(OSError):
            sockets.append(_bound(host, port))
    return KeptPorts(ports, sockets)


def keep_any(host: str, count: int) -> KeptPorts:
    """Keep as many ports that nobody keeps or uses.

    Raises:
        OSError: there are none, or the address is not of this host.
    """
    with contextlib.ExitStack() as stack:
        numbers: list[int] = []
        sockets: list[socket.socket] = []
        for _ in range(count + TRIES):
            if len(numbers) == count:
                stack.pop_all()
                return KeptPorts(numbers, sockets)
            bound = stack.enter_context(_bound(host, 0))
            number = int(bound.getsockname()[1])
            with contextlib.suppress(OSError):
                sockets += (stack.enter_context(_named(number)), bound)
                numbers.append(number)
    raise OSError(errno.EADDRINUSE, f"no {count} ports are free on {host}")


def is_listened_on(host: str, port: int) -> bool:
    """Whether somebody has the port, other than to keep it."""
    try:
        _bound(host, port).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


class _NotOfThisHostError(OSError):
    """The address cannot be bound here, whatever the port."""


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
        # Any free port has to be free of everybody; a given one may have connections that linger.
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
