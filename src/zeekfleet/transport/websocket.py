"""The endpoint that speaks Broker's WebSocket protocol (docs/protocol.md, section 2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from zeekfleet.broker.session import APPLICATION_NAME, PATH
from zeekfleet.errors import ListenError, TransportError
from zeekfleet.model.addresses import place
from zeekfleet.security.door import Door
from zeekfleet.system.unix_sockets import short_path
from zeekfleet.transport import unix_sockets
from zeekfleet.transport.endpoint import Peer, TopicPolicy
from zeekfleet.transport.forbidden import REASON_HEADER
from zeekfleet.transport.link import Link
from zeekfleet.transport.listener import BACKLOG, ENDPOINT_HEADER, LIMIT_HEADER, NAME_HEADER, Listener, told_limit
from zeekfleet.transport.routed import RoutedEndpoint
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unix_sockets import SCHEME
from zeekfleet.transport.websocket_link import WebSocketLink


class WebSocketEndpoint(RoutedEndpoint):
    """Listens and dials over WebSocket: TCP, TLS, or unix sockets.

    Args:
        name: what it calls itself to peers.
        settings: its limits and times.
    """

    def __init__(self, name: str = "", settings: TransportSettings | None = None) -> None:
        super().__init__(name, settings)
        self._listeners: list[tuple[Listener, str, tuple[int, int] | None]] = []

    async def listen(
        self,
        host: str,
        port: int,
        *,
        policy: TopicPolicy | None = None,
        tls: ssl.SSLContext | None = None,
        door: Door | None = None,
    ) -> int:
        try:
            bound = unix_sockets.bind(host.removeprefix(SCHEME)) if _is_unix(host) else await _bind(host, port)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ListenError(host, port, reason) from None
        port = 0 if _is_unix(host) else int(bound.getsockname()[1])
        path = host.removeprefix(SCHEME) if _is_unix(host) else ""
        address = host if path else place(host, port)
        listener = Listener(self.id, self.name, address, self._router, self.settings, policy or TopicPolicy(), door)
        listener.start(bound, tls)
        self._listeners.append((listener, path, unix_sockets.identity(path) if path else None))
        return port

    async def _connect(self, host: str, port: int, hears: tuple[str, ...], tls: ssl.SSLContext | None) -> Link:
        with contextlib.ExitStack() as paths:
            connector: aiohttp.BaseConnector
            if _is_unix(host):
                path = paths.enter_context(short_path(host.removeprefix(SCHEME)))
                connector = aiohttp.UnixConnector(path, force_close=True)
            else:
                connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
            session = aiohttp.ClientSession(connector=connector, ws_response_class=_DialledSocket)
            try:
                dialled = await self._upgrade(session, host, port, tls)
            except BaseException as error:
                await session.close()
                if isinstance(error, aiohttp.WSServerHandshakeError) and error.status == HTTPStatus.FORBIDDEN:
                    told = error.headers.get(REASON_HEADER, "") if error.headers is not None else ""
                    why = told or "the log there says why"
                    raise TransportError(f"we are not served there (403): {why}") from None
                if isinstance(error, aiohttp.WSServerHandshakeError) and error.status == HTTPStatus.CONFLICT:
                    raise TransportError("that is our own address") from None
                if isinstance(error, aiohttp.ClientError | ValueError):
                    raise TransportError(_reason(error)) from None
                raise
        peer = Peer(self._router.new_peer_id(), dialled.peer_name, host, port, dialled=True)
        link = WebSocketLink(peer, hears, dialled, dialled.transport, self.settings, self.metrics, session.close)
        link.frame_limit = dialled.frame_limit
        return link

    async def _upgrade(
        self, session: aiohttp.ClientSession, host: str, port: int, tls: ssl.SSLContext | None
    ) -> _DialledSocket:
        scheme = "wss" if tls else "ws"
        url = URL.build(scheme=scheme, host="localhost" if _is_unix(host) else host, port=port or None, path=PATH)
        headers = {ENDPOINT_HEADER: self.id, LIMIT_HEADER: str(self.settings.frame_bytes)}
        if APPLICATION_NAME.fullmatch(self.name):
            headers[NAME_HEADER] = self.name
        upgraded = await session.ws_connect(
            url,
            headers=headers,
            ssl=tls or True,
            timeout=aiohttp.ClientWSTimeout(ws_close=self.settings.close_timeout),
            autoping=False,
            compress=0,
            max_msg_size=self.settings.frame_bytes + 1,
            decode_text=False,
        )
        if not isinstance(upgraded, _DialledSocket):
            raise TransportError("the HTTP client made a connection of another kind")
        return upgraded

    async def _close_listeners(self) -> None:
        listeners, self._listeners = self._listeners, []
        for _, path, made in listeners:
            if path:
                unix_sockets.remove(path, made)
        async with asyncio.TaskGroup() as closing:
            for listener, _, _ in listeners:
                closing.create_task(listener.close())


class _DialledSocket(aiohttp.ClientWebSocketResponse[Any]):
    """A dialled connection that shows its transport and the peer's name."""

    def __init__(self, reader: Any, writer: Any, protocol: Any, response: Any, *others: Any, **options: Any) -> None:
        super().__init__(reader, writer, protocol, response, *others, **options)
        self.transport: asyncio.Transport = writer.transport
        self.frame_limit = told_limit(response.headers.get(LIMIT_HEADER, ""))
        name = response.headers.get(NAME_HEADER, "")
        self.peer_name: str = name if APPLICATION_NAME.fullmatch(name) else ""


def _is_unix(host: str) -> bool:
    return host.startswith(SCHEME)


def _reason(error: Exception) -> str:
    """Why a connection failed, without what its library calls it."""
    cause = getattr(error, "os_error", None)
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0)  # asyncio's own text repeats the address
    if isinstance(cause, socket.gaierror):
        return f"the name cannot be resolved ({cause.strerror})"
    return str(error)


async def _bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket; a name is bound by its first address, IPv4 before IPv6."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, number, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    bound = socket.socket(family, kind, number)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound
