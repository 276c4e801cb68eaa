"""Accepts connections on a listening socket, as long as there are descriptors for them.

asyncio's own server logs each accept that fails, a thousand times a second, and accepts
until the process has no descriptor left for anything else.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

import msgspec

from zeekfleet.system import descriptors
from zeekfleet.transport.encryption import TLS_RECORD, ServerTls

logger = logging.getLogger(__name__)

BATCH = 64
"""The most connections that are accepted in one turn of the event loop, so that other work is not delayed."""

LOOK_AGAIN_AFTER = 1.0
"""After a shortage, try to accept again in so many seconds: nothing tells when another part of the process has closed
a descriptor."""

TELL_AGAIN_AFTER = 60.0
"""Seconds after which another shortage is logged."""


class Served(asyncio.Protocol, abc.ABC):
    """The protocol that serves an accepted connection."""

    @abc.abstractmethod
    async def serve(self) -> None:
        """Serve the connection until it is gone; cancelled, close it within the time for that."""


class Reception(msgspec.Struct, frozen=True):
    """How to serve a connection that was just accepted.

    Attributes:
        talk: called with whether the connection is encrypted; makes the protocol that serves it. If this returns None,
            the connection is closed.
        release: called when the connection is over, even if it was never served.
    """

    talk: Callable[[bool], Served | None]
    release: Callable[[], None] = lambda: None


class Acceptor:
    """Accepts on one socket, and serves each connection in a task of its own.

    Args:
        listening: the socket, bound and listening.
        address: its address, for the log.
        receive: called with each new connection; decides how to serve it. If this returns None, it is closed.
        tls: how connections are encrypted; None for plain text.
        handshake_timeout: seconds until the first byte, and seconds that TLS may take to begin.
    """

    def __init__(
        self,
        listening: socket.socket,
        address: str,
        receive: Callable[[socket.socket], Reception | None],
        tls: ServerTls | None,
        handshake_timeout: float,
    ) -> None:
        self._listening = listening
        self._address = address
        self._receive = receive
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._loop = asyncio.get_running_loop()
        self._serving: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        self._is_short = False
        self._told = -TELL_AGAIN_AFTER
        self._closed = False

    def start(self) -> None:
        """Start accepting connections."""
        self._loop.add_reader(self._listening.fileno(), self._accept)

    async def close(self) -> None:
        """Stop accepting, and close all connections, within the time that they have for that."""
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
        reception = self._receive(connection)
        if reception is None:
            connection.close()
            return
        task = self._loop.create_task(self._serve(connection, reception))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket, reception: Reception) -> None:
        try:
            served = await self._begin(connection, reception)
            if served is not None:
                await served.serve()
        except (OSError, TimeoutError) as error:
            logger.debug("%s: a connection did not begin to talk: %s", self._address, error)
        except Exception:
            logger.exception("%s: serving a connection failed", self._address)
        finally:
            reception.release()
            # Its descriptor is free after this turn of the event loop.
            if self._waiting is not None:
                self._loop.call_soon(self._resume)

    async def _begin(self, connection: socket.socket, reception: Reception) -> Served | None:
        """Start the protocol on the connection, with TLS if the peer begins with TLS and this listener has it.

        Raises:
            OSError, TimeoutError: it does not begin.
        """
        try:
            context = await self._context(connection)
            served = reception.talk(context is not None)
        except BaseException:
            connection.close()
            raise
        if served is None:
            connection.close()
            return None
        timeout = self._handshake_timeout if context is not None else None
        await self._loop.connect_accepted_socket(lambda: served, connection, ssl=context, ssl_handshake_timeout=timeout)
        return served

    async def _context(self, connection: socket.socket) -> ssl.SSLContext | None:
        """The context for a connection that begins with TLS; None for one that does not.

        Raises:
            OSError, TimeoutError: it does not begin.
        """
        if self._tls is None:
            return None
        async with asyncio.timeout(self._handshake_timeout):
            first = await self._peek(connection)
        if not first:
            raise ConnectionAbortedError("closed without a word")
        return self._tls.context() if first == TLS_RECORD else None

    async def _peek(self, connection: socket.socket) -> bytes:
        """The first byte, without taking it out of the socket; empty if the peer has closed.

        TLS is not begun before it has arrived: a connection on which nothing is sent costs only its descriptor.
        """
        arrived: asyncio.Future[None] = self._loop.create_future()

        def can_be_read() -> None:
            if not arrived.done():
                arrived.set_result(None)

        self._loop.add_reader(connection.fileno(), can_be_read)
        try:
            await arrived
        finally:
            self._loop.remove_reader(connection.fileno())
        return connection.recv(1, socket.MSG_PEEK)

    def _pause(self) -> None:
        """Leave further connections in the kernel's queue until a descriptor is free."""
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
