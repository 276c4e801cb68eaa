"""News of agent and controller, on the stderr of the process in the foreground as well.

Both run below the stem and log to files of their own. Whoever runs the tree as a service reads the stderr of the
process in the foreground: so each warning, and each line that has a ``kind`` (see ``zeekfleet.logs.handlers``), is sent
there as one datagram, to a socket in the state directory. Nothing waits for it: the files have every line anyway.
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
"""Characters of a sentence that are sent: a datagram must fit into the kernel's buffer."""

logger = logging.getLogger(__name__)


class News(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        process: the name of the agent or controller that wrote it.
        role: which of the two it is.
        logger: the module that it comes from.
        level: as ``logging`` counts.
        message: the sentence.
        fields: its facts.
    """

    process: str
    role: str
    logger: str
    level: int
    message: str
    fields: dict[str, Any] = {}


Wanted = Callable[[News], bool]
"""Whether a line is to be shown."""


class _Forwarder(logging.Handler):
    """Sends what is news."""

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
    """Send what this process has to tell to the foreground of its tree, while the context lasts."""
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
        state: the state directory, which nobody else holds.
        wanted: see there.
    """
    path = state / SOCKET
    try:
        listening = _bind(path)
    except OSError as error:
        logger.warning(
            "news of agent and controller are in their own logs only: %s: %s",
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
    """The socket, of mode 0600; one from an earlier life makes way."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path.unlink(missing_ok=True)
        # A path by a descriptor is short enough for the kernel, wherever the directory is.
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
            logger.debug("no news: %s", error)
            return
        source = logging.getLogger(news.logger)
        if source.isEnabledFor(news.level) and self._wanted(news):
            fields = {key: value for key, value in news.fields.items() if key in FIELDS}
            source.log(news.level, "%s: %s", news.process, news.message, extra=fields | {"source": news.process})
