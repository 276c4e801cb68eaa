"""Announces that a daemon is ready: on standard output, and to systemd or the tree that started it.

The protocol is systemd's (``sd_notify``): a datagram with ``READY=1`` is sent to the socket whose address is in
``NOTIFY_SOCKET``. A tree gives its own processes such a socket, and so learns when they are ready.
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
    """Announce on standard output and to the notify socket that this daemon is ready."""
    with contextlib.suppress(OSError):  # standard output may be a file on a full disk; the daemon works in any case
        sys.stdout.write(f"ready: {status}\n")
        sys.stdout.flush()
    notify(f"READY=1\nSTATUS={status}", environment)


def notify(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send a message to the notify socket, if there is one. It is no error if nobody listens."""
    address = environment.get(NOTIFY_SOCKET, "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(message.encode(), address)


class Receiver(asyncio.DatagramProtocol):
    """Receives the messages of processes whose ``NOTIFY_SOCKET`` is :attr:`address`.

    The address is a random name in the abstract namespace: it leaves no file, and its length does not depend on a
    directory.
    """

    def __init__(self, on_ready: Callable[[str], None]) -> None:
        self.address = f"@zeekfleet-{secrets.token_hex(16)}"
        self._on_ready = on_ready

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Handle a message, which consists of lines ``KEY=value``."""
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
