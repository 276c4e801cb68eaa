"""The bus over Broker's WebSocket protocol (docs/protocol.md, section 2)."""

from __future__ import annotations

import asyncio
import socket

import msgspec

from zeekfleet.broker.client_frames import NAME
from zeekfleet.broker.session import APPLICATION_NAME
from zeekfleet.errors import ListenError, NotObeyedError
from zeekfleet.model.addresses import address_text
from zeekfleet.model.enums import Role
from zeekfleet.security.access import AccessControl
from zeekfleet.security.identity import identity_of_peer, serial_of_peer
from zeekfleet.transport import unix_sockets, upgrade
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.link import Link
from zeekfleet.transport.listener import BACKLOG, Listener
from zeekfleet.transport.routed import RoutedBus
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unix_sockets import SCHEME
from zeekfleet.transport.websocket_dialling import dial_websocket
from zeekfleet.transport.websocket_link import WebSocketLink


class WebSocketBus(RoutedBus):
    """Listens and dials over WebSocket: TCP, TLS, or unix sockets.

    Args:
        name: what it calls itself to peers.
        settings: its limits and times.
        access: the users of this host whose listeners are trusted when we dial without TLS; by default all.
        nodes_access: the same when we dial a node; ``access`` by default.
    """

    def __init__(
        self,
        name: str = "",
        settings: TransportSettings | None = None,
        access: AccessControl | None = None,
        nodes_access: AccessControl | None = None,
    ) -> None:
        super().__init__(name, settings)
        self._access = access
        self._nodes_access = nodes_access or access
        self._listeners: list[tuple[Listener, str, tuple[int, int] | None]] = []

    async def listen(
        self,
        host: str,
        port: int,
        *,
        policy: ListenerPolicy | None = None,
        tls: ServerTls | None = None,
        access: AccessControl | None = None,
    ) -> int:
        try:
            bound = unix_sockets.bind(host.removeprefix(SCHEME)) if _is_unix(host) else await _bind(host, port)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ListenError(host, port, reason) from None
        port = 0 if _is_unix(host) else int(bound.getsockname()[1])
        path = host.removeprefix(SCHEME) if _is_unix(host) else ""
        address = host if path else address_text(host, port)
        listener = Listener(
            self.id, self.name, address, self._router, self.settings, policy or ListenerPolicy(), access
        )
        listener.start(bound, tls)
        self._listeners.append((listener, path, unix_sockets.identity(path) if path else None))
        return port

    async def _connect(
        self, host: str, port: int, subscriptions: tuple[str, ...], tls: ClientTls | None, role: Role
    ) -> Link:
        fields = upgrade.own_fields(self.name, self.settings.frame_bytes) | {upgrade.ENDPOINT: self.id}
        stream, answer = await dial_websocket(
            host, port, tls, fields, self.settings, self.metrics, self._router.unfinished
        )
        access = self._nodes_access if role is Role.NODE else self._access
        if access is not None and tls is None:
            # Only now is it certain that the listener has accepted. Before that, the kernel reports root as the owner.
            problem = access.problem_of_listener(stream.transport.get_extra_info("socket"))
            if problem:
                stream.abort()
                self.metrics.strangers_refused += 1
                raise NotObeyedError(problem)
        told = upgrade.first(answer, NAME)
        name = told if APPLICATION_NAME.fullmatch(told) else ""
        certificate = stream.transport.get_extra_info("peercert")
        peer = msgspec.structs.replace(self._dialled_peer(name, host, port), identity=identity_of_peer(certificate))
        link = WebSocketLink(peer, subscriptions, stream, self.settings, self.metrics)
        link.serial = serial_of_peer(certificate)
        link.frame_limit = upgrade.frame_limit(answer)
        return link

    async def _close_listeners(self) -> None:
        listeners, self._listeners = self._listeners, []
        for _, path, made in listeners:
            if path:
                unix_sockets.remove(path, made)
        async with asyncio.TaskGroup() as closing:
            for listener, _, _ in listeners:
                closing.create_task(listener.close())


def _is_unix(host: str) -> bool:
    return host.startswith(SCHEME)


async def _bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket. For a name, its first address is used, IPv4 before IPv6."""
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
