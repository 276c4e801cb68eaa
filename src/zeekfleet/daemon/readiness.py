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
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from zeekfleet.model.variables import NOTIFY_SOCKET
from zeekfleet.security.users import ROOT

LONGEST = 65536
"""Bytes of a message that are read."""

CREDENTIALS = struct.Struct("3i")
"""Process id, user and group of a message's sender (``struct ucred``, see unix(7))."""


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


class Receiver:
    """Receives the messages of processes whose ``NOTIFY_SOCKET`` is :attr:`address`.

    The address is a random name in the abstract namespace: it leaves no file, and its length does not depend on a
    directory. Any user of the host may send to it, so the kernel is asked whose each message is.

    Args:
        on_ready: called with the status that is announced.
    """

    def __init__(self, on_ready: Callable[[str], None]) -> None:
        self.address = f"@zeekfleet-{secrets.token_hex(16)}"
        self._on_ready = on_ready

    def read(self, listener: socket.socket) -> None:
        """Handle the messages that have arrived."""
        while True:
            try:
                data, extra, _, _ = listener.recvmsg(LONGEST, socket.CMSG_SPACE(CREDENTIALS.size))
            except BlockingIOError:
                return
            if _sender(extra) in (ROOT, os.geteuid()):
                self._handle(data)

    def _handle(self, data: bytes) -> None:
        """Handle a message, which consists of lines ``KEY=value``."""
        fields = dict(line.partition("=")[::2] for line in data.decode(errors="replace").splitlines())
        if fields.get("READY") == "1":
            self._on_ready(fields.get("STATUS", ""))


def _sender(extra: Iterable[tuple[int, int, bytes]]) -> int | None:
    """The user that has sent a message, as the kernel tells; None if it does not."""
    for level, kind, value in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            user: int = CREDENTIALS.unpack(value)[1]
            return user
    return None


@contextlib.contextmanager
def receiver(on_ready: Callable[[str], None]) -> Iterator[Receiver]:
    """A receiver that listens while the context lasts."""
    made = Receiver(on_ready)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind("\0" + made.address.removeprefix("@"))
        loop.add_reader(listener.fileno(), made.read, listener)
        try:
            yield made
        finally:
            loop.remove_reader(listener.fileno())
