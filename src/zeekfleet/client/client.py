"""The public asynchronous API of a controller.

    async with Client("127.0.0.1", 2149) as client:
        outcome = await client.deploy_config(Configuration.from_file("cluster.ini"))
        if not outcome.ok: ...

One client is one connection; its methods may run at the same time. All times
are in seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.events.notifications import NotificationKept
from zeekfleet.broker.events.presence import NotifyAlive
from zeekfleet.broker.generations import SECOND
from zeekfleet.client import link
from zeekfleet.client.carrier import Watch
from zeekfleet.client.deadline import AnswerDeadline
from zeekfleet.client.requests import Requests
from zeekfleet.errors import CannotConnectError, RequestTimeoutError, TransportError
from zeekfleet.model.addresses import address_text
from zeekfleet.model.defaults import CLIENT_PORT, LOOPBACK
from zeekfleet.transport.bus import Bus, Delivery, PeerAdded, PeerLost
from zeekfleet.transport.connections import Connections
from zeekfleet.transport.encryption import ClientTls
from zeekfleet.transport.websocket import WebSocketBus
from zeekfleet.waiting import Signal, first_of

R = TypeVar("R", bound=Response)

LONGEST_WAIT = 86400.0
"""The most seconds that a request may take, even if the controller still makes progress with it."""

ONE_MORE = link.Retry(attempts=1, delay=2.0)
"""One more attempt, to find out why there is no connection."""

Watcher = Callable[[Delivery], None]
"""Called for each event that is not the response to a request of ours; must return at once."""


class Client(Requests):
    """A connection to a controller; use it as an async context manager.

    Args:
        host: the controller's address or name.
        port: the port of its client listener.
        tls: a TLS context for clients (``zeekfleet.client.tls.client_context``), or None for plain text.
        timeout: how long each request may take, if a method is not given another time-out.
        connect_timeout: how long to try to connect.
        watcher: called once for each notification of an agent, progress of a deployment, and response to another
            client.
        name: the name of this client in the controller's log.
        bus: a bus to use instead of a WebSocket of its own. If it has connections, the controller is dialled over it.
            If not, there is no way to know whether the controller is there, and requests are simply sent.
    """

    def __init__(
        self,
        host: str = LOOPBACK,
        port: int = CLIENT_PORT,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = 20.0,
        connect_timeout: float = 10.0,
        watcher: Watcher | None = None,
        name: str = "zeekfleet-client",
        bus: Bus | None = None,
    ) -> None:
        super().__init__()
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._watcher = watcher
        self._bus: Bus = bus or WebSocketBus(name)
        self._is_own_transport = bus is None
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._arrived = Signal()
        self._agents_of_both: set[str] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            TransportError: there is no connection within ``connect_timeout``; the sentence says why.
        """
        try:
            await self._stack.enter_async_context(self._bus)
            tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
            for topic in (topics.CONTROLLER, topics.AGENT_PREFIX, *topics.NEWS):
                self._bus.subscribe(topic)
            if isinstance(self._bus, Connections):
                context = self._tls
                self._bus.dial(self._host, self._port, tls=ClientTls(lambda: context) if context is not None else None)
            else:
                self._connected.set()
            self._stack.callback(tasks.create_task(self._read_events()).cancel)
            await self._wait_connected(self._connect_timeout)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The body's error is not shown to the task group, which would wrap it in an exception group.
        await self._stack.aclose()

    async def ask(self, request: Request[R], *, timeout: float | None = None, watch: Watch | None = None) -> R:
        timeout = self._timeout if timeout is None else timeout
        await self._wait_connected(timeout)
        loop = asyncio.get_running_loop()
        deadline = AnswerDeadline(loop.time(), timeout)
        try:
            async with asyncio.timeout_at(deadline.at) as wait:

                def watched(topic: str, event: Event) -> bool:
                    is_progress = watch is not None and watch(topic, event)
                    if is_progress and not wait.expired():
                        wait.reschedule(deadline.progressed(event, loop.time()))
                    return is_progress

                asking = self._bus.request(topics.CONTROLLER, request, LONGEST_WAIT)
                with self.watching(watched):
                    answer = await first_of(asking, self._lost.wait())
        except TimeoutError:
            raise RequestTimeoutError(request.reqid, timeout) from None
        if answer is None:
            raise self._connection_lost()
        return answer

    def tell(self, event: Event) -> None:
        if not self._connected.is_set():
            raise self._connection_lost()
        self._bus.publish(topics.CONTROLLER, event)

    async def wait(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._arrived.next()
        except TimeoutError:
            return False
        return True

    def _connection_lost(self) -> TransportError:
        return TransportError(f"connection to controller {self._host}:{self._port} is lost")

    async def _wait_connected(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._connected.wait()
        except TimeoutError:
            text = f"cannot connect to controller {address_text(self._host, self._port)} within {timeout:g} s"
            reason = await self._reason_for_no_connection()
            raise TransportError(f"{text}: {reason}" if reason else text) from None

    async def _reason_for_no_connection(self) -> str:
        """The error of one more attempt to connect; empty if it is not known."""
        if not self._is_own_transport:
            return ""
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            connection = await asyncio.to_thread(link.connect, host, self._port, tls=self._tls, retry=ONE_MORE)
        except CannotConnectError as error:
            return error.reason
        connection.close()
        return ""

    async def _read_events(self) -> None:
        async for received in self._bus.events():
            match received:
                case PeerAdded():
                    self._lost.clear()
                    self._connected.set()
                case PeerLost():
                    self._connected.clear()
                    self._lost.set()
                    self._end_watching(self._connection_lost())
                    self._arrived.notify()
                case Delivery(event=NotifyAlive()):
                    pass  # no news
                case Delivery() if not self._is_repeated(received):
                    self._show(received.topic, received.event)
                    if self._watcher is not None and not isinstance(received.event, NotificationKept):
                        self._watcher(received)
                    self._arrived.notify()

    def _is_repeated(self, delivery: Delivery) -> bool:
        """Whether this is an agent's notification that has arrived before, under the second generation's names.

        Our agents publish each one twice, first under these names; those of the first generation publish it once.
        """
        if not delivery.topic.startswith(topics.AGENT_PREFIX):
            return False
        if delivery.generation is SECOND:
            self._agents_of_both.add(delivery.topic)
            return False
        return delivery.topic in self._agents_of_both
