"""Makes WebSocket connections."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping

from zeekfleet.broker.session import APPLICATION_NAME, PATH
from zeekfleet.errors import TransportError
from zeekfleet.model.addresses import address_text
from zeekfleet.system.unix_sockets import short_path
from zeekfleet.transport import upgrade
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unix_sockets import SCHEME
from zeekfleet.transport.upgrade import Head
from zeekfleet.transport.websocket_stream import WebSocketStream

NEXT_ADDRESS_AFTER = 0.25
"""Seconds without an answer from one address of a name until the next is tried beside it (RFC 8305)."""

LOCALHOST = "localhost"
"""What a listener on a unix socket is called in the upgrade."""


class DialledStream(WebSocketStream):
    """A connection that we make.

    Args:
        host: of the other side, with its port, as in a URL.
        fields: what to tell about ourselves in the upgrade.
        settings: limits and times.
        metrics: where to count.
    """

    def __init__(
        self, host: str, fields: Mapping[str, str], settings: TransportSettings, metrics: TransportMetrics
    ) -> None:
        super().__init__(settings, metrics, dialled=True)
        self._host = host
        self._fields = fields
        self._key = upgrade.new_key()
        self._answer: asyncio.Future[Head | TransportError] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(upgrade.request(self._host, PATH, self._key, self._fields))

    def connection_lost(self, exc: Exception | None) -> None:
        self.not_opened(str(exc) if exc is not None else "the connection was closed before it was upgraded")
        super().connection_lost(exc)

    def opened(self, head: Head) -> bool:
        upgrade.check_answer(head, self._key)
        if not self._answer.done():
            self._answer.set_result(head)
        return True

    def not_opened(self, problem: str) -> None:
        if not self._answer.done():
            self._answer.set_result(TransportError(problem))

    async def upgraded(self) -> Head:
        """The answer to our upgrade.

        Raises:
            TransportError: we are refused, no WebSocket is spoken there, or the connection is lost.
        """
        try:
            answer = await self._answer
        except asyncio.CancelledError:
            self.abort()
            raise
        if isinstance(answer, TransportError):
            self.abort()
            raise answer
        return answer


async def dial_websocket(
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    fields: Mapping[str, str],
    settings: TransportSettings,
    metrics: TransportMetrics,
) -> tuple[DialledStream, Head]:
    """Connect, and upgrade the connection.

    Args:
        host: address, name, or ``unix:PATH``.
        port: 0 for ``unix:``.
        tls: a client's context, or None for plain text.
        fields: what to tell about ourselves in the upgrade.
        settings: limits and times.
        metrics: where to count.

    Returns:
        The connection, and what the other side has answered.

    Raises:
        TransportError: there is no connection, or no upgrade.
    """
    loop = asyncio.get_running_loop()
    path = host.removeprefix(SCHEME) if host.startswith(SCHEME) else None
    named = address_text(host, port) if path is None else LOCALHOST

    def stream() -> DialledStream:
        return DialledStream(named, fields, settings, metrics)

    try:
        if path is None:
            _, dialled = await loop.create_connection(
                stream, host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS_AFTER
            )
        else:
            with short_path(path) as short:
                server_hostname = LOCALHOST if tls is not None else None
                _, dialled = await loop.create_unix_connection(stream, short, ssl=tls, server_hostname=server_hostname)
    except (OSError, ValueError) as error:
        raise TransportError(_reason(error)) from None
    return dialled, await dialled.upgraded()


def own_fields(name: str, settings: TransportSettings) -> dict[str, str]:
    """What either side of an upgrade tells about itself; a name that is no application name is not told."""
    fields = {upgrade.LIMIT: str(settings.frame_bytes)}
    if APPLICATION_NAME.fullmatch(name):
        fields[upgrade.NAME] = name
    return fields


def _reason(error: Exception) -> str:
    """Why a connection failed, for a person."""
    if isinstance(error, socket.gaierror):
        return f"the name cannot be resolved ({error.strerror})"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)  # asyncio's own text repeats the address
    return str(error) or type(error).__name__
