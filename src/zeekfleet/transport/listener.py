"""Accepts WebSocket connections at one address, within limits."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import socket
import ssl
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from zeekfleet import __version__
from zeekfleet.broker.session import (
    APPLICATION_NAME,
    GOING_AWAY,
    POLICY_VIOLATION,
    Problem,
    ServerSession,
    check_request,
)
from zeekfleet.security.door import Door, Refusal, Visitor
from zeekfleet.transport.acceptor import Acceptor, Factory
from zeekfleet.transport.endpoint import Peer, TopicPolicy
from zeekfleet.transport.exchange import serve
from zeekfleet.transport.forbidden import REASON_HEADER, REFUSALS_MAX, Forbidden
from zeekfleet.transport.router import Router
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket_link import WebSocketLink

logger = logging.getLogger(__name__)

NAME_HEADER = "X-Application-Name"
ENDPOINT_HEADER = "X-Zeekfleet-Endpoint"
LIMIT_HEADER = "X-Zeekfleet-Frame-Limit"
"""The largest frame that its sender accepts, in bytes; both sides of an upgrade tell it."""
"""The dialling side's endpoint id, as the acknowledgement has the other's."""

BACKLOG = 1024
ENDPOINT = re.compile(r"[-_.A-Za-z0-9]{1,128}")


class Listener:
    """One listening socket and the connections it accepted.

    Args:
        endpoint_id: ours, told to peers.
        name: ours, told to peers.
        address: what we listen on, for the log; peers over a unix socket are named by it.
        router: the endpoint's.
        settings: its limits and times.
        policy: what peers may do.
        door: whom to let in; everybody where there is none.
    """

    def __init__(
        self,
        endpoint_id: str,
        name: str,
        address: str,
        router: Router,
        settings: TransportSettings,
        policy: TopicPolicy,
        door: Door | None = None,
    ) -> None:
        self._endpoint_id = endpoint_id
        self._name = name
        self._address = address
        self._router = router
        self._settings = settings
        self._policy = policy
        self._door = door
        self._certified = False
        self._links: set[WebSocketLink] = set()
        self._refusals: set[Forbidden] = set()
        self._http: _HttpServer | None = None
        self._acceptor: Acceptor | None = None

    def start(self, bound: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Accept connections on a bound socket; it is ours from now on."""
        self._certified = tls is not None and tls.verify_mode is ssl.CERT_REQUIRED
        self._http = _HttpServer(self)
        bound.listen(BACKLOG)
        self._acceptor = Acceptor(bound, self._address, self._receive, tls, self._settings.handshake_timeout)
        self._acceptor.start()

    async def close(self) -> None:
        """Accept no more and take leave of everyone, within the time for that."""
        if self._acceptor is None or self._http is None:
            return
        await self._acceptor.close()
        for refusal in tuple(self._refusals):
            refusal.end()
        async with asyncio.TaskGroup() as leaving:
            for link in self._links:
                leaving.create_task(link.close(GOING_AWAY, "endpoint closed"))
        self._http.pre_shutdown()
        await self._http.shutdown(self._settings.close_timeout)

    def _receive(self, connection: socket.socket) -> Factory | None:
        """What speaks on a connection just accepted. Of a stranger, not a word is read."""
        # Whoever shows a certificate is known by that.
        visitor = Visitor() if self._door is None or self._certified else self._door.meet(connection)
        if visitor.refusal is None:
            return functools.partial(_Connection, self._http, self, visitor) if self._http is not None else None
        self._tell_of_refusal(visitor.refusal)
        if len(self._refusals) >= REFUSALS_MAX:
            return None
        return functools.partial(Forbidden, visitor.refusal.reason, self._refusals, self.ended)

    def _tell_of_refusal(self, refusal: Refusal) -> None:
        self._router.metrics.strangers_refused += 1
        if refusal.report:
            logger.warning("%s: %s", self._address, refusal.report, extra={"address": self._address})

    def ended(self) -> None:
        """A connection is about to be closed."""
        if self._acceptor is not None:
            self._acceptor.one_ended()

    def admits(self) -> bool:
        """Whether one more connection is within the limit."""
        if self._http is None or len(self._http.connections) < self._settings.connections:
            return True
        metrics = self._router.metrics
        metrics.connections_refused += 1
        level = logging.WARNING if metrics.connections_refused == 1 else logging.DEBUG
        fields = {"address": self._address}
        logger.log(
            level, "%s: refused a connection: there are %s", self._address, self._settings.connections, extra=fields
        )
        return False

    def deadline(self) -> float:
        """When a connection that is made now must have subscribed, in the loop's time."""
        return asyncio.get_running_loop().time() + self._settings.handshake_timeout

    def failed(self) -> None:
        """Count a connection that ended without an upgrade."""
        self._router.metrics.handshakes_failed += 1

    def tell(self, what: str) -> None:
        """Log what became of a connection that has no name yet."""
        logger.debug("%s: %s", self._address, what)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one HTTP request, which should be an upgrade."""
        upgrade = request.headers.get("Upgrade", "").strip().lower()
        if request.method != "GET" or upgrade != "websocket":
            response = web.Response(status=404, text="404: only WebSocket is spoken here\n")
            response.force_close()
            return response
        connection = request.protocol
        if isinstance(connection, _Connection) and (foreign := self._foreign(request, connection.visitor)):
            self._tell_of_refusal(foreign)
            headers = {REASON_HEADER: ascii(foreign.reason)[1:-1]}
            response = web.Response(status=403, text=f"403: {foreign.reason}\n", headers=headers)
            response.force_close()
            return response
        if request.headers.get(ENDPOINT_HEADER) == self._endpoint_id:
            # What we say would come back to us, and each request be worked on twice.
            response = web.Response(status=409, text="409: you have connected to yourself\n")
            response.force_close()
            return response
        name = request.headers.get(NAME_HEADER)
        problem = check_request(request.path, name)
        upgraded: web.WebSocketResponse[Any] = web.WebSocketResponse(
            timeout=self._settings.close_timeout,
            autoping=False,
            compress=False,
            max_msg_size=self._settings.frame_bytes + 1,
            decode_text=False,
        )
        if APPLICATION_NAME.fullmatch(self._name):
            upgraded.headers[NAME_HEADER] = self._name
        upgraded.headers[LIMIT_HEADER] = str(self._settings.frame_bytes)
        try:
            await upgraded.prepare(request)
        except ConnectionError:
            return web.Response()  # whoever asked has gone, or we are going: it reaches nobody
        if not isinstance(connection, _Connection) or request.transport is None:
            return upgraded
        connection.upgraded()
        peer = self._peer(request, name if name and problem is None else "", connection.visitor)
        link = WebSocketLink(peer, (), upgraded, request.transport, self._settings, self._router.metrics)
        link.frame_limit = told_limit(request.headers.get(LIMIT_HEADER, ""))
        self._links.add(link)
        try:
            if problem is not None:
                await self._turn_away(link, problem)
            else:
                session = ServerSession(
                    self._endpoint_id,
                    __version__,
                    self._policy.publish,
                    self._settings.subscriptions,
                    self._policy.answer,
                )
                await serve(self._router, link, session, self._policy, connection.deadline)
        finally:
            self._links.discard(link)
        return upgraded

    def _foreign(self, request: web.BaseRequest, visitor: Visitor) -> Refusal | None:
        """Why this upgrade comes from somebody else's web page; None if it does not."""
        if self._door is None:
            return None
        return self._door.problem(visitor, request.headers.getall("Host", []), request.headers.getall("Origin", []))

    async def _turn_away(self, link: WebSocketLink, problem: Problem) -> None:
        fields = {"address": link.peer.place, "error": problem.context}
        logger.warning("%s: %s: %s", link, problem.code, problem.context, extra=fields)
        self.failed()
        if problem.reply is not None:
            link.send(problem.reply)
        await link.close(POLICY_VIOLATION, problem.code)

    def _peer(self, request: web.BaseRequest, name: str, visitor: Visitor) -> Peer:
        remote = request.transport.get_extra_info("peername") if request.transport else None
        host, port = (str(remote[0]), int(remote[1])) if isinstance(remote, tuple) else (self._address, 0)
        told = request.headers.get(ENDPOINT_HEADER, "")
        endpoint = told if ENDPOINT.fullmatch(told) else ""
        return Peer(self._router.new_peer_id(), name, host, port, False, endpoint, visitor.uid)


def told_limit(text: str) -> int | None:
    """What a peer says to be the largest frame that it accepts, None if it says nothing that can be meant."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


class _HttpServer(web.Server):
    """What connections have in common."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.handle)


class _Connection(web.RequestHandler):
    """An accepted socket; it is dropped when over the limit, or without an upgrade by the deadline."""

    def __init__(self, server: _HttpServer, listener: Listener, visitor: Visitor) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None)  # type: ignore[arg-type]
        self._listener = listener
        self.visitor = visitor
        self._admitted = False
        self._is_upgraded = False
        self.deadline = listener.deadline()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes no other
        self._admitted = self._listener.admits()
        if not self._admitted:
            transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_at(self.deadline, transport.abort)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.ended()
        if not self._admitted:
            return
        self._timer.cancel()
        if not self._is_upgraded:
            self._listener.failed()
            self._listener.tell("a connection ended without an upgrade to WebSocket")
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **options: Any) -> None:
        """One line for a request that is none; only our own errors deserve a traceback."""
        error = options.get("exc_info")
        if isinstance(error, HttpProcessingError):
            logger.warning("bad request from %s: %s", self.peername, " ".join(str(error).split())[:200])
        else:
            super().log_exception(*args, **options)

    def upgraded(self) -> None:
        """The deadline is the session's from now on."""
        self._is_upgraded = True
        self._timer.cancel()
