"""Makes WebSocket connections."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.uri import parse_uri

from zeekfleet.broker.client_frames import PATH
from zeekfleet.errors import TransportError
from zeekfleet.model.addresses import address_text
from zeekfleet.model.defaults import LOCALHOST
from zeekfleet.security.identity import identity_of_peer
from zeekfleet.system.unix_sockets import short_path
from zeekfleet.transport.encryption import ClientTls
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.tls import NO_TLS, NO_TLS_THERE
from zeekfleet.transport.unfinished_frames import UnfinishedFrames
from zeekfleet.transport.unix_sockets import SCHEME
from zeekfleet.transport.upgrade import REFUSAL, first
from zeekfleet.transport.websocket_stream import LIBRARY, WebSocketStream

NEXT_ADDRESS_AFTER = 0.25
"""If one address of a name has not answered after so many seconds, the next one is tried in parallel (RFC 8305)."""


class DialledStream(WebSocketStream):
    """A connection that we make.

    Args:
        url: the URL of the other side.
        fields: our headers in the upgrade.
        settings: limits and times.
        metrics: the bus's counters.
        unfinished: limits the memory of unfinished frames of all connections.
    """

    def __init__(
        self,
        url: str,
        fields: Mapping[str, str],
        settings: TransportSettings,
        metrics: TransportMetrics,
        unfinished: UnfinishedFrames,
    ) -> None:
        self._client = ClientProtocol(parse_uri(url), max_size=settings.frame_bytes, logger=LIBRARY)
        super().__init__(self._client, settings, metrics, unfinished)
        self._fields = fields
        self._answer: asyncio.Future[Headers | TransportError] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        request = self._client.connect()
        request.headers.update(self._fields)
        self._client.send_request(request)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._answered(TransportError(str(exc) if exc else "the connection was closed before it was upgraded"))
        super().connection_lost(exc)

    def shake_hands(self, event: Request | Response) -> None:
        if self._client.handshake_exc is None:
            self._answered(event.headers)

    def cannot_shake_hands(self, error: Exception) -> None:
        self._answered(TransportError(_not_granted(error)))

    def _answered(self, answer: Headers | TransportError) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)

    async def upgraded(self) -> Headers:
        """The answer to our upgrade.

        Raises:
            TransportError: we are refused, the other side does not speak WebSocket, or the connection is lost.
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
    tls: ClientTls | None,
    fields: Mapping[str, str],
    settings: TransportSettings,
    metrics: TransportMetrics,
    unfinished: UnfinishedFrames,
) -> tuple[DialledStream, Headers]:
    """Connect, and upgrade the connection.

    Args:
        host: address, name, or ``unix:PATH``.
        port: 0 for ``unix:``.
        tls: how the connection is encrypted and whose certificate the peer must have; None for plain text.
        fields: our headers in the upgrade.
        settings: limits and times.
        metrics: where to count.
        unfinished: the memory of unfinished frames of all connections.

    Returns:
        The connection, and the headers of the answer.

    Raises:
        TransportError: there is no connection, or no upgrade.
    """
    loop = asyncio.get_running_loop()
    path = host.removeprefix(SCHEME) if host.startswith(SCHEME) else None
    url = f"{'wss' if tls else 'ws'}://{address_text(host, port) if path is None else LOCALHOST}{PATH}"

    def stream() -> DialledStream:
        return DialledStream(url, fields, settings, metrics, unfinished)

    context = tls.context() if tls is not None else None
    try:
        if path is None:
            _, dialled = await loop.create_connection(
                stream, host, port, ssl=context, happy_eyeballs_delay=NEXT_ADDRESS_AFTER
            )
        else:
            with short_path(path) as short:
                server_hostname = LOCALHOST if context is not None else None
                _, dialled = await loop.create_unix_connection(
                    stream, short, ssl=context, server_hostname=server_hostname
                )
    except (OSError, ValueError) as error:
        raise TransportError(_reason(error)) from None
    if tls is not None and (problem := tls.problem(identity_of_peer(dialled.transport.get_extra_info("peercert")))):
        dialled.abort()
        raise TransportError(problem)
    return dialled, await dialled.upgraded()


def _not_granted(error: Exception) -> str:
    """Why there is no WebSocket, for a person."""
    if isinstance(error, InvalidStatus):
        response = error.response
        match response.status_code:
            case HTTPStatus.FORBIDDEN:
                return f"we are not served there (403): {first(response.headers, REFUSAL) or 'the log there says why'}"
            case HTTPStatus.CONFLICT:
                return "that is our own address"
            case status:
                return f"no WebSocket is spoken there: HTTP status {status}"
    return f"no WebSocket is spoken there: {error}"


def _reason(error: Exception) -> str:
    """Why a connection failed, for a person."""
    if isinstance(error, socket.gaierror):
        return f"the name cannot be resolved ({error.strerror})"
    if isinstance(error, ssl.SSLError) and error.reason in NO_TLS:
        return NO_TLS_THERE
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)  # asyncio's own text repeats the address
    return str(error) or type(error).__name__
