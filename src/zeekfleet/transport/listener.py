"""Accepts WebSocket connections at one address, within limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Hashable, Mapping
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from zeekfleet.broker.client_frames import NAME
from zeekfleet.broker.session import POLICY_VIOLATION, Problem, ServerSession, check_request
from zeekfleet.model.addresses import address_text
from zeekfleet.security.access import AccessControl, CheckedPeer, Refusal
from zeekfleet.security.identity import identity_of_peer, serial_of_peer
from zeekfleet.security.permissions import Permissions
from zeekfleet.security.reports import Reports
from zeekfleet.security.users import name_of
from zeekfleet.transport.acceptor import Acceptor, Reception, Served
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.connection_limits import ConnectionLimits, Entry, peer_of
from zeekfleet.transport.connections import CertificateOwner, ListenerPolicy
from zeekfleet.transport.deadline import Deadline
from zeekfleet.transport.encryption import ServerTls
from zeekfleet.transport.exchange import serve
from zeekfleet.transport.forbidden import LINGER, REFUSALS_MAX, Forbidden
from zeekfleet.transport.router import REPORTED_BURST, Router
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.upgrade import ENDPOINT as ENDPOINT_FIELD
from zeekfleet.transport.upgrade import REFUSAL, first, frame_limit, own_fields, refusal
from zeekfleet.transport.websocket_link import WebSocketLink
from zeekfleet.transport.websocket_stream import LIBRARY, WebSocketStream
from zeekfleet.version import __version__

logger = logging.getLogger(__name__)

BACKLOG = 1024
WITH_BODY = ("unsupported request body", "transfer codings aren't supported")
"""The library's errors for a valid HTTP request with a body, which an upgrade never has."""

WITHOUT_TLS = "this port speaks TLS, and you do not (zeek-client: enable = true in its section [ssl])"

FOREIGN_CERTIFICATE = "your certificate is not one of those that are served here"

NO_CERTIFICATE = "certificates are needed here, and you have shown none"

APPLICANTS_FRAME = 65536
"""The most bytes of a frame from a peer without a certificate."""

ENDPOINT = re.compile(r"[-_.A-Za-z0-9]{1,128}")


class Listener:
    """One listening socket and the connections that it has accepted.

    Args:
        endpoint_id: our endpoint id, which is sent to peers.
        name: our name, which is sent to peers.
        address: the address on which we listen, for the log; peers at a Unix socket are named by it.
        router: the bus's router.
        settings: limits and times.
        policy: what peers may do.
        access: decides which peers are served; without it, all are.
    """

    def __init__(
        self,
        endpoint_id: str,
        name: str,
        address: str,
        router: Router,
        settings: TransportSettings,
        policy: ListenerPolicy,
        access: AccessControl | None = None,
    ) -> None:
        self._endpoint_id = endpoint_id
        self._name = name
        self._address = address
        self.settings = settings
        self.metrics = router.metrics
        self.unfinished = router.unfinished
        self._router = router
        self._policy = policy
        self._access = access
        self._tls: ServerTls | None = None
        self._limits = ConnectionLimits(settings.connections, settings.connections_each, settings.handshakes)
        self._reports = Reports(burst=REPORTED_BURST)
        self._refusals: set[Forbidden] = set()
        self._acceptor: Acceptor | None = None

    def start(self, bound: socket.socket, tls: ServerTls | None) -> None:
        """Accept connections on a bound socket, which this object closes later."""
        self._tls = tls
        bound.listen(BACKLOG)
        self._acceptor = Acceptor(bound, self._address, self._receive, tls, self.settings.handshake_timeout)
        self._acceptor.start()

    async def close(self) -> None:
        """Stop accepting and close all connections, within a time limit."""
        if self._acceptor is not None:
            await self._acceptor.close()

    def _receive(self, connection: socket.socket) -> Reception | None:
        """Decide how to serve a new connection. Nothing is read from a peer that is not served."""
        peer = CheckedPeer() if self._access is None else self._access.check(connection)
        if self._tls is None and peer.refusal is not None:
            forbidden = self._forbidden(peer.refusal)
            return None if forbidden is None else Reception(lambda is_encrypted: forbidden)
        entry = self._begin(connection, peer)
        return Reception(lambda is_encrypted: self._talk(peer, entry, is_encrypted), lambda: self.ended(entry))

    def _talk(self, peer: CheckedPeer, entry: Entry, is_encrypted: bool) -> Served | None:
        """The protocol that serves a connection, or refuses it."""
        tls = self._tls
        if is_encrypted and tls is not None and tls.is_mutual:
            # Whoever shows a certificate is known by that.
            return _Connection(self, CheckedPeer(), entry, shows_certificate=True)
        if peer.refusal is not None:
            return self._forbidden(peer.refusal)
        if tls is not None and not is_encrypted and not (tls.plain_here and peer.local):
            line = self._reports.line("plain", lambda: f"refused a connection of {_whose(entry)} without TLS")
            return self._forbidden(Refusal(WITHOUT_TLS, line))
        return _Connection(self, peer, entry)

    def _forbidden(self, refusal: Refusal) -> Forbidden | None:
        """The protocol that tells a peer that it is not served; None if too many peers are being told."""
        self._tell_of_refusal(refusal)
        return Forbidden(refusal.reason, self._refusals) if len(self._refusals) < REFUSALS_MAX else None

    def _tell_of_refusal(self, refusal: Refusal) -> None:
        self.metrics.strangers_refused += 1
        if refusal.report:
            logger.warning("%s: %s", self._address, refusal.report, extra={"address": self._address})

    def admit(self, connection: _Connection) -> str:
        """Why a connection may not be upgraded, as the end of a sentence; ``""`` if it may."""
        problem = self._limits.upgrade(connection.entry)
        if problem:
            self.metrics.connections_refused += 1
            self._report("refused", f"refused a connection of {_whose(connection.entry)}: {problem}")
        return problem

    def ended(self, entry: Entry) -> None:
        """A connection has ended."""
        was_upgraded = entry.is_upgraded
        self._limits.forget(entry)
        if not was_upgraded:
            self.metrics.handshakes_failed += 1
            logger.debug("%s: a connection ended without an upgrade to WebSocket", self._address)

    def frame_bytes(self, owner: CertificateOwner) -> int:
        """The largest frame that is accepted of the owner of a certificate."""
        largest = self.settings.frame_bytes
        return largest if self._policy.sends_large_frames(owner) else min(largest, self.settings.reader_frame_bytes)

    def _begin(self, connection: socket.socket, peer: CheckedPeer) -> Entry:
        """Count a connection that was just accepted; another one may have to give way."""

        def end() -> None:
            with contextlib.suppress(OSError):  # it has gone meanwhile
                connection.shutdown(socket.SHUT_RDWR)

        entry, evicted = self._limits.begin(peer_of(peer.uid, _host_of(connection)), end)
        if evicted is not None:
            evicted.end()
            self.metrics.handshakes_evicted += 1
            limit = self.settings.handshakes
            self._report("evicted", f"more than {limit} connections have not begun to talk: the oldest are closed")
        return entry

    def _report(self, key: Hashable, text: str) -> None:
        """Log that a limit is exceeded, at most once a minute."""
        if line := self._reports.line(key, lambda: text):
            logger.warning("%s: %s", self._address, line, extra={"address": self._address})

    def malformed(self, connection: _Connection, problem: str) -> None:
        """Answer bytes that are not a valid request for an upgrade."""
        source = connection.remote or self._address
        self._report(("malformed", connection.entry.who), f"bad request from {source}: {problem}")
        connection.refuse(HTTPStatus.BAD_REQUEST, problem)

    def no_upgrade(self, connection: _Connection) -> None:
        """Answer an HTTP request that is not an upgrade."""
        connection.refuse(HTTPStatus.NOT_FOUND, "only WebSocket is spoken here")

    def requested(self, connection: _Connection, request: Request) -> None:
        """Answer one HTTP request, which should be an upgrade."""
        headers = request.headers
        hosts = headers.get_all("Host")
        if request.protocol == "HTTP/1.1" and len(hosts) != 1:
            self.malformed(connection, f"an HTTP request with {len(hosts)} Host fields: expected one")
        elif request.method != "GET" or first(headers, "Upgrade").lower() != "websocket":
            self.no_upgrade(connection)
        elif self._access is not None and (
            foreign := self._access.problem(connection.peer, hosts, headers.get_all("Origin"))
        ):
            self._tell_of_refusal(foreign)
            connection.refuse(HTTPStatus.FORBIDDEN, foreign.reason, {REFUSAL: foreign.reason})
        elif connection.owner is not None and not self._policy.serves(connection.owner):
            self._refuse_certificate(connection, connection.owner)
        elif connection.is_applicant and not self._policy.applicants:
            self.metrics.strangers_refused += 1
            self._report(connection.entry.who, f"refused {connection.remote}: it has shown no certificate")
            connection.refuse(HTTPStatus.FORBIDDEN, NO_CERTIFICATE, {REFUSAL: NO_CERTIFICATE})
        elif first(headers, ENDPOINT_FIELD) == self._endpoint_id:
            # Our own events would come back to us, and each request would be handled twice.
            connection.refuse(HTTPStatus.CONFLICT, "you have connected to yourself")
        elif connection.is_applicant:
            # It still counts as a handshake: it has little time, and gives way to newer ones.
            connection.grant(request, own_fields(self._name, connection.frame_bytes))
        elif problem := self.admit(connection):
            connection.refuse(HTTPStatus.SERVICE_UNAVAILABLE, problem, {REFUSAL: problem})
        else:
            connection.grant(request, own_fields(self._name, connection.frame_bytes))

    async def converse(self, connection: _Connection, request: Request) -> None:
        """Serve an upgraded connection until it is over."""
        names = request.headers.get_all(NAME)
        problem = check_request(request.path.partition("?")[0], names[0] if names else None)
        peer = self._peer(connection, request.headers, names[0] if names and problem is None else "")
        link = WebSocketLink(peer, (), connection, self.settings, self.metrics)
        link.permissions = (
            Permissions(self._policy.applicants)
            if connection.is_applicant
            else self._policy.permissions(peer.name, connection.owner)
        )
        link.serial = connection.owner.serial if connection.owner is not None else None
        link.frame_limit = frame_limit(request.headers)
        if problem is not None:
            await self._turn_away(link, problem, connection.entry.who)
            return
        session = ServerSession(self._endpoint_id, __version__, self.settings.subscriptions)
        await serve(self._router, link, session, self._policy, connection.deadline.when)

    async def _turn_away(self, link: WebSocketLink, problem: Problem, who: Hashable) -> None:
        if line := self._reports.line((problem.code, who), lambda: f"{link}: {problem.code}: {problem.context}"):
            logger.warning("%s", line, extra={"address": link.peer.place, "error": problem.context})
        self.metrics.handshakes_failed += 1
        if problem.reply is not None:
            link.send(problem.reply)
        await link.close(POLICY_VIOLATION, problem.code)

    def _peer(self, connection: _Connection, headers: Headers, name: str) -> Peer:
        remote = connection.transport.get_extra_info("peername")
        host = str(remote[0]) if isinstance(remote, tuple) else ""
        where = address_text(host, int(remote[1])) if isinstance(remote, tuple) else self._address
        told = first(headers, ENDPOINT_FIELD)
        endpoint = told if ENDPOINT.fullmatch(told) else ""
        return Peer(
            self._router.new_peer_id(),
            name,
            host,
            where,
            self._policy.role,
            endpoint=endpoint,
            uid=connection.peer.uid,
            identity=connection.owner.identity if connection.owner is not None else None,
        )

    def _refuse_certificate(self, connection: _Connection, owner: CertificateOwner) -> None:
        """Refuse a certificate whose owner is not served here. The log names the owner, the answer does not."""
        whose = str(owner.identity) if owner.identity is not None else "nobody: it names no role"
        self.metrics.strangers_refused += 1
        self._report(connection.entry.who, f"refused {connection.remote}: its certificate is that of {whose}")
        connection.refuse(HTTPStatus.FORBIDDEN, FOREIGN_CERTIFICATE, {REFUSAL: FOREIGN_CERTIFICATE})


class _Connection(WebSocketStream, Served):
    """An accepted socket; it is dropped when over the limit, or without an upgrade by the deadline.

    Args:
        listener: the listener that has accepted it.
        peer: the peer, as far as the socket tells.
        entry: its entry in the connection limits.
        shows_certificate: whether the peer had to show a certificate, or could show one.

    Attributes:
        owner: the owner of the certificate that the peer has shown; None if it has shown none.
        is_applicant: whether the peer could have shown a certificate, but did not. Then the deadline is not lifted.
    """

    deadline: Deadline

    def __init__(self, listener: Listener, peer: CheckedPeer, entry: Entry, *, shows_certificate: bool = False) -> None:
        self._server = ServerProtocol(max_size=listener.settings.frame_bytes, logger=LIBRARY)
        super().__init__(self._server, listener.settings, listener.metrics, listener.unfinished)
        self._listener = listener
        self.peer = peer
        self.entry = entry
        self.owner: CertificateOwner | None = None
        self.is_applicant = False
        self._shows_certificate = shows_certificate
        self._upgrade: asyncio.Future[Request | None] = self._loop.create_future()
        self._is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._shows_certificate:
            if certificate := transport.get_extra_info("peercert"):
                self.owner = CertificateOwner(identity_of_peer(certificate), serial_of_peer(certificate))
                self.accept_up_to(self._listener.frame_bytes(self.owner))
            else:
                self.is_applicant = True
                self.accept_up_to(APPLICANTS_FRAME)
        self._expire_in(self._settings.handshake_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline.cancel()
        if not self._upgrade.done():
            self._upgrade.set_result(None)
        super().connection_lost(exc)

    async def serve(self) -> None:
        try:
            request = await self._upgrade
            if request is not None:
                await self._listener.converse(self, request)
        finally:
            self.abort()

    def shake_hands(self, event: Request | Response) -> None:
        if isinstance(event, Request):
            self._listener.requested(self, event)

    def cannot_shake_hands(self, error: Exception) -> None:
        if self._is_answered:
            return
        problem = str(error.__cause__ or error)
        if problem in WITH_BODY:
            self._listener.no_upgrade(self)
        else:
            self._listener.malformed(self, problem)

    def grant(self, request: Request, fields: Mapping[str, str]) -> None:
        """Grant an upgrade, if the request is valid.

        Args:
            request: the peer's request.
            fields: our headers.
        """
        response = self._server.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return  # the library keeps the error and reports it later
        response.headers.update(fields)
        self._server.send_response(response)
        self._is_answered = True
        if not self.is_applicant:
            self.deadline.cancel()
        if not self._upgrade.done():
            self._upgrade.set_result(request)

    @property
    def remote(self) -> str:
        """The peer's address, for the log; empty for a Unix socket."""
        remote = self.transport.get_extra_info("peername")
        return str(remote[0]) if isinstance(remote, tuple) else ""

    def refuse(self, status: HTTPStatus, reason: str, fields: Mapping[str, str] | None = None) -> None:
        """Answer with an error of HTTP, and give the peer a moment to read it and close."""
        self._is_answered = True
        response = refusal(status, reason, fields)
        if self._server.eof_sent:  # the library has given up already, mostly without a word
            self._server.data_to_send()
            self.transport.write(response.serialize())
            self.end_writing()
        else:
            self._server.send_response(response)
        self.deadline.cancel()
        self._expire_in(LINGER)

    def _expire_in(self, seconds: float) -> None:
        self.deadline = Deadline(self._loop.time() + seconds, self.abort)


def _whose(entry: Entry) -> str:
    """The peer of a connection, for the log."""
    return f"user {name_of(entry.who)}" if isinstance(entry.who, int) else str(entry.who)


def _host_of(connection: socket.socket) -> str:
    """The address of the peer of a connection; ``""`` for a Unix socket, or if the peer has gone already."""
    try:
        name = connection.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""
