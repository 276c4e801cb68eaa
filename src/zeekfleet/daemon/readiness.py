"""Telling that a daemon serves: to systemd, to whoever started it, and on standard output.

The protocol is systemd's (``sd_notify``): a datagram with ``READY=1`` to the
socket that ``NOTIFY_SOCKET`` names. A tree gives its own processes such a
socket, so that it learns the same way when they serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from zeekfleet.model.variables import NOTIFY_SOCKET


def announce(status: str, environment: Mapping[str, str] = os.environ) -> None:
    """Say on standard output, and to the notify socket, that we serve."""
    with contextlib.suppress(OSError):  # a full disk below it must not keep us from serving
        sys.stdout.write(f"ready: {status}\n")
        sys.stdout.flush()
    notify(f"READY=1\nSTATUS={status}", environment)


def notify(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send a message to the notify socket, if there is one; nobody listening is no error."""
    address = environment.get(NOTIFY_SOCKET, "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(message.encode(), address)


class Receiver(asyncio.DatagramProtocol):
    """Hears the messages of processes that were given :attr:`address`.

    The name is random and abstract: no file remains, and its length does not depend on any directory.
    """

    def __init__(self, on_ready: Callable[[str], None]) -> None:
        self.address = f"@zeekfleet-{secrets.token_hex(16)}"
        self._on_ready = on_ready

    def datagram_received(self, data: bytes, addr: object) -> None:
        """One message: lines of ``KEY=value``."""
        fields = dict(line.partition("=")[::2] for line in data.decode(errors="replace").splitlines())
        if fields.get("READY") == "1":
            self._on_ready(fields.get("STATUS", ""))


@contextlib.contextmanager
def _bound(address: str) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.bind("\0" + address.removeprefix("@"))
        yield listener
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def receiver(on_ready: Callable[[str], None]) -> AsyncIterator[Receiver]:
    """A receiver that listens while the context lasts."""
    protocol = Receiver(on_ready)
    with _bound(protocol.address) as listener:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: protocol, sock=listener)
        try:
            yield protocol
        finally:
            transport.close()
