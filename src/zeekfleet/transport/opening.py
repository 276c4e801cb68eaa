"""Opens a bus by its URL, for programs that need no other connections."""

from __future__ import annotations

import ssl
from typing import Self
from urllib.parse import urlsplit

from zeekfleet.errors import TransportError
from zeekfleet.security.access import AccessControl
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.encryption import ClientTls
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unix_sockets import SCHEME
from zeekfleet.transport.websocket import WebSocketBus

EXPECTED = "ws://HOST:PORT, wss://HOST:PORT or ws+unix:PATH"


def open_bus(
    url: str,
    name: str = "",
    settings: TransportSettings | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    label: str = "",
) -> Bus:
    """The bus that a URL names; use it as an async context manager.

    Entering it does not wait for a connection: over WebSocket, the address is dialled from then on, again and again,
    until the bus is closed. So subscribe first.

    Args:
        url: ``ws://HOST:PORT`` and ``wss://HOST:PORT`` over WebSocket, ``ws+unix:PATH`` over a socket file.
        name: what this program calls itself to others.
        settings: limits and times.
        tls: for ``wss``, a client's context; the system's certificates are trusted if it is left out.
        label: a name for the program there, for the log. If it is given, it is logged when the program cannot be
            reached, and when it can be reached again.

    Raises:
        TransportError: there is no such kind of bus.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise TransportError(f"'{url}' names no bus, expected {EXPECTED}") from None
    if parts.scheme == "ws+unix" and parts.path:
        return DialledBus(name, settings, SCHEME + parts.path, 0, label=label)
    if parts.scheme not in ("ws", "wss") or not host or not port:
        raise TransportError(f"'{url}' names no bus, expected {EXPECTED}")
    context = (tls or ssl.create_default_context()) if parts.scheme == "wss" else None
    encryption = ClientTls(lambda: context) if context else None
    return DialledBus(name, settings, host, port, tls=encryption, label=label)


class DialledBus(WebSocketBus):
    """Dials one address as long as it is open.

    Args:
        name: what it calls itself to others.
        settings: limits and times.
        host: address, name, or ``unix:PATH``.
        port: 0 for ``unix:``.
        tls: how the connection is encrypted, None for plain text.
        label: as in :func:`open_bus`.
        access: the users of this host whose listeners are trusted; by default all.
    """

    def __init__(
        self,
        name: str,
        settings: TransportSettings | None,
        host: str,
        port: int,
        *,
        tls: ClientTls | None = None,
        label: str = "",
        access: AccessControl | None = None,
    ) -> None:
        super().__init__(name, settings, access)
        self._place = host, port
        self._tls = tls
        self._label = label

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.dial(*self._place, tls=self._tls, label=self._label)
        return self
