"""Shows important log lines of agent and controller on the stderr of the foreground process as well.

Agent and controller run below the stem, and log to files of their own. A tree that runs as a service is watched by the
stderr of its foreground process. So each warning, and each line with a ``kind`` (see ``zeekfleet.logs.handlers``), is
sent there as a datagram, over a socket in the state directory. The sender does not wait. If a datagram is lost, the
line is still in the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from zeekfleet.logs.handlers import FIELDS, fields_of
from zeekfleet.system.unix_sockets import short_path

SOCKET = "journal.sock"
LONGEST = 8192
"""Characters of a message that are sent. A datagram must fit into the kernel's buffer."""

logger = logging.getLogger(__name__)


class News(msgspec.Struct, frozen=True):
    """One log line.

    Attributes:
        process: the name of the agent or controller that wrote it.
        role: ``AGENT`` or ``CONTROLLER``.
        logger: the name of its logger.
        level: its level, as a number of ``logging``.
        message: the sentence.
        fields: its fields.
    """

    process: str
    role: str
    logger: str
    level: int
    message: str
    fields: dict[str, Any] = {}


Wanted = Callable[[News], bool]
"""Decides whether a line is shown."""


class _Forwarder(logging.Handler):
    """Sends warnings and lines with a ``kind``."""

    def __init__(self, path: Path, process: str, role: str) -> None:
        super().__init__()
        self._path = path
        self._process = process
        self._role = role
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        fields = fields_of(record)
        if "source" in fields or (record.levelno < logging.WARNING and "kind" not in fields):
            return
        news = News(
            self._process, self._role, record.name, record.levelno, record.getMessage()[:LONGEST], fields
        )  # fmt: skip
        with contextlib.suppress(OSError), short_path(str(self._path)) as address:
            self._socket.sendto(msgspec.json.encode(news, enc_hook=str), address)

    def close(self) -> None:
        self._socket.close()
        super().close()


@contextlib.contextmanager
def forwarded(state: Path, process: str, role: str) -> Iterator[None]:
    """Send this process's important lines to the foreground process of its tree, while the context lasts."""
    handler = _Forwarder(state / SOCKET, process, role)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextlib.asynccontextmanager
async def received(state: Path, wanted: Wanted) -> AsyncIterator[None]:
    """Log what agent and controller send, while the context lasts.

    Args:
        state: the state directory; its lock must be held.
        wanted: decides which lines are shown.
    """
    path = state / SOCKET
    try:
        listening = _bind(path)
    except OSError as error:
        logger.warning(
            "log lines of agent and controller are in their own logs only: %s: %s",
            path,
            error.strerror,
            extra={"error": error.strerror},
        )
        yield
        return
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Receiver(wanted), sock=listening)
    try:
        yield
    finally:
        transport.close()
        path.unlink(missing_ok=True)


def _bind(path: Path) -> socket.socket:
    """The socket, with mode 0600. One that an earlier process left is replaced."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path.unlink(missing_ok=True)
        # The kernel limits the length of a socket's path. By way of a descriptor it is always short enough.
        listening.bind(f"/proc/self/fd/{directory}/{path.name}")
        path.chmod(0o600)
    except OSError:
        listening.close()
        raise
    finally:
        os.close(directory)
    return listening


class _Receiver(asyncio.DatagramProtocol):
    """Logs each datagram."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            news = msgspec.json.decode(data, type=News)
        except msgspec.MsgspecError as error:
            logger.debug("not a log line: %s", error)
            return
        source = logging.getLogger(news.logger)
        if source.isEnabledFor(news.level) and self._wanted(news):
            fields = {key: value for key, value in news.fields.items() if key in FIELDS}
            source.log(news.level, "%s: %s", news.process, news.message, extra=fields | {"source": news.process})
