"""Accepts WebSocket connections at one address, within limits."""

from __future__ import annotations

import asyncio
import logging
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
from zeekfleet.transport.endpoint import Peer, TopicPolicy
from zeekfleet.transport.exchange import serve
from zeekfleet.transport.router import Router
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket_link import WebSocketLink

logger = logging.getLogger(__name__)

NAME_HEADER = "X-Application-Name"
BACKLOG = 1024


class Listener:
    """One listening socket and the connections it accepted.

    Args:
        endpoint_id: ours, told to peers.
        name: ours, told to peers.
        address: what we listen on, for the log; peers over a unix socket are named by it.
        router: the endpoint's.
        settings: its limits and times.
        policy: what peers may do.
    """

    def __init__(
        self,
        endpoint_id: str,
        name: str,
        address: str,
        router: Router,
        settings: TransportSettings,
        policy: TopicPolicy,
    ) -> None:
        self._endpoint_id = endpoint_id
        self._name = name
        self._address = address
        self._router = router
        self._settings = settings
        self._policy = policy
        self._links: set[WebSocketLink] = set()
        self._http: _HttpServer | None = None
        self._server: asyncio.Server | None = None

    async def start(self, bound: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Accept connections on a bound socket."""
        self._http = _HttpServer(self)
        handshake = self._settings.handshake_timeout if tls else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._http, sock=bound, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=handshake
        )

    async def close(self) -> None:
        """Accept no more and take leave of everyone, within the time for that."""
        if self._server is None or self._http is None:
            return
        self._server.close()
        async with asyncio.TaskGroup() as leaving:
            for link in self._links:
                leaving.create_task(link.close(GOING_AWAY, "endpoint closed"))
        self._http.pre_shutdown()
        await self._http.shutdown(self._settings.close_timeout)

    def admits(self) -> bool:
        """Whether one more connection is within the limit."""
        if self._http is None or len(self._http.connections) < self._settings.connections:
            return True
        metrics = self._router.metrics
        metrics.connections_refused += 1
        level = logging.WARNING if metrics.connections_refused == 1 else logging.DEBUG
        logger.log(level, "%s: refused a connection: there are %s", self._address, self._settings.connections)
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
        try:
            await upgraded.prepare(request)
        except ConnectionError:
            return web.Response()  # whoever asked has gone, or we are going: it reaches nobody
        connection = request.protocol
        if not isinstance(connection, _Connection) or request.transport is None:
            return upgraded
        connection.upgraded()
        peer = self._peer(request, name if name and problem is None else "")
        link = WebSocketLink(peer, (), upgraded, request.transport, self._settings, self._router.metrics)
        self._links.add(link)
        try:
            if problem is not None:
                await self._turn_away(link, problem)
            else:
                session = ServerSession(
                    self._endpoint_id, __version__, self._policy.publish, self._settings.subscriptions
                )
                await serve(self._router, link, session, self._policy, connection.deadline)
        finally:
            self._links.discard(link)
        return upgraded

    async def _turn_away(self, link: WebSocketLink, problem: Problem) -> None:
        logger.warning("%s: %s: %s", link, problem.code, problem.context)
        self.failed()
        if problem.reply is not None:
            link.send(problem.reply)
        await link.close(POLICY_VIOLATION, problem.code)

    def _peer(self, request: web.BaseRequest, name: str) -> Peer:
        remote = request.transport.get_extra_info("peername") if request.transport else None
        if isinstance(remote, tuple):
            return Peer(self._router.new_peer_id(), name, str(remote[0]), int(remote[1]), dialled=False)
        return Peer(self._router.new_peer_id(), name, self._address, 0, dialled=False)


class _HttpServer(web.Server):
    """Makes a connection object for each accepted socket."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.handle)
        self._listener = listener

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, self._listener)


class _Connection(web.RequestHandler):
    """An accepted socket; it is dropped when over the limit, or without an upgrade by the deadline."""

    def __init__(self, server: _HttpServer, listener: Listener) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None)  # type: ignore[arg-type]
        self._listener = listener
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
