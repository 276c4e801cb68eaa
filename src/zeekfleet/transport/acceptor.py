"""Takes connections from a listening socket, for as long as there are descriptors for them.

asyncio's own server tells of each accept that fails, a thousand a second, and
goes on until the process has no descriptor left for anything else.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from zeekfleet.system import descriptors

logger = logging.getLogger(__name__)

BATCH = 64
"""Connections taken in one turn of the loop, so that others have theirs."""

LOOK_AGAIN_AFTER = 1.0
"""Seconds after which a socket that was left alone is looked at again: nobody tells when a descriptor of another kind
is free."""

TELL_AGAIN_AFTER = 60.0
"""Seconds after which a new shortage is told of."""


class Served(asyncio.Protocol, abc.ABC):
    """What speaks on an accepted connection."""

    @abc.abstractmethod
    async def serve(self) -> None:
        """Serve the connection until it is gone; cancelled, close it within the time for that."""

    def release(self) -> None:
        """Count the connection no more: it is over, whether it has begun to talk or not."""


Factory = Callable[[], Served]


class Acceptor:
    """Accepts on one socket, and serves each connection in a task of its own.

    Args:
        listening: bound, and listening.
        address: of it, for the log.
        receive: given a connection just accepted, makes its protocol; None has it closed.
        tls: a server's context, or None for plain text.
        handshake_timeout: seconds that TLS may take to begin.
    """

    def __init__(
        self,
        listening: socket.socket,
        address: str,
        receive: Callable[[socket.socket], Factory | None],
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
    ) -> None:
        self._listening = listening
        self._address = address
        self._receive = receive
        self._tls = tls
        self._handshake_timeout = handshake_timeout if tls else None
        self._loop = asyncio.get_running_loop()
        self._serving: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        self._is_short = False
        self._told = -TELL_AGAIN_AFTER
        self._closed = False

    def start(self) -> None:
        """Accept from now on."""
        self._loop.add_reader(self._listening.fileno(), self._accept)

    async def close(self) -> None:
        """Accept no more, and end all connections, within the time that they take for that."""
        if self._closed:
            return
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                self._is_short = False
                return
            except (InterruptedError, ConnectionError):
                continue
            except OSError as error:
                if error.errno in descriptors.SHORTAGES:
                    self._pause()
                    return
                logger.warning(
                    "%s: a connection could not be accepted: %s",
                    self._address,
                    error.strerror,
                    extra={"address": self._address, "error": error.strerror},
                )
                continue
            self._take(connection)
            if descriptors.is_of_the_reserve(connection.fileno()):
                self._pause()
                return

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        factory = self._receive(connection)
        if factory is None:
            connection.close()
            return
        task = self._loop.create_task(self._serve(connection, factory))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket, factory: Factory) -> None:
        served = factory()
        try:
            await self._loop.connect_accepted_socket(
                lambda: served, connection, ssl=self._tls, ssl_handshake_timeout=self._handshake_timeout
            )
        except (OSError, TimeoutError) as error:
            logger.debug("%s: a connection did not begin to talk: %s", self._address, error)
        else:
            try:
                await served.serve()
            except Exception:
                logger.exception("%s: serving a connection failed", self._address)
        finally:
            served.release()
            # Its descriptor is free as soon as the loop has gone round.
            if self._waiting is not None:
                self._loop.call_soon(self._resume)

    def _pause(self) -> None:
        """Leave the rest to the kernel's queue until a descriptor is free."""
        if self._waiting is not None:
            return
        self._loop.remove_reader(self._listening.fileno())
        self._waiting = self._loop.call_later(LOOK_AGAIN_AFTER, self._resume)
        now = self._loop.time()
        if not self._is_short and now - self._told >= TELL_AGAIN_AFTER:
            self._told = now
            logger.warning(
                "%s: no further connections are accepted until one ends: of the %d descriptors that this process may"
                " have (ulimit -n), the last are kept for its own work",
                self._address, descriptors.limit(),
            )  # fmt: skip
        self._is_short = True

    def _resume(self) -> None:
        if self._waiting is None or self._closed:
            return
        self._waiting.cancel()
        self._waiting = None
        self.start()
