"""A bus within one process: the same frames, over queues instead of sockets."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque

import msgspec

from zeekfleet.broker.session import GOING_AWAY, ServerSession
from zeekfleet.errors import ListenError, TransportError
from zeekfleet.model.addresses import address_text
from zeekfleet.model.defaults import EVERY_ADDRESS, EVERY_ADDRESS_V6, LOOPBACK
from zeekfleet.model.enums import Role
from zeekfleet.security.access import AccessControl
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.exchange import serve
from zeekfleet.transport.link import Link
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.routed import RoutedBus
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.version import __version__
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

WILDCARDS = (EVERY_ADDRESS, EVERY_ADDRESS_V6, "")


class MemoryLink(Link):
    """One half of a connection; what is sent goes to the other half's inbox."""

    other: MemoryLink

    def __init__(
        self, peer: Peer, subscriptions: tuple[str, ...], settings: TransportSettings, metrics: TransportMetrics
    ):
        super().__init__(peer, subscriptions)
        self._settings = settings
        self._metrics = metrics
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._over = False
        self._changed = Signal()

    def send(self, frame: bytes) -> None:
        if self._over:
            return
        if not self.other._take(frame, self._settings):
            self._metrics.slow_peers += 1
            self.cut("peer does not read")

    async def receive(self) -> bytes | None:
        while not self._inbox:
            if self._over:
                raise TransportError(self.reason or "connection closed by peer")
            await self._changed.next()
        frame = self._inbox.popleft()
        self._inbox_bytes -= len(frame)
        return frame

    def hold(self, held: bool) -> None:
        """Do nothing: there are no pings to wait for."""

    def probe(self, timeout: float) -> None:
        """Do nothing: the other half is in this process."""

    def cut(self, reason: str) -> None:
        self.faulty = True
        self.reason = self.reason or reason
        for half in (self, self.other):
            half._inbox.clear()
            half._end()

    async def close(self, code: int, reason: str) -> None:
        self.reason = self.reason or reason
        self._inbox.clear()
        self._end()
        self.other._end()

    def _take(self, frame: bytes, settings: TransportSettings) -> bool:
        full = len(self._inbox) >= settings.queue_frames or self._inbox_bytes + len(frame) > settings.queue_bytes
        if self._inbox and full:
            return False
        self._inbox.append(frame)
        self._inbox_bytes += len(frame)
        self._changed.notify()
        return True

    def _end(self) -> None:
        self._over = True
        self._changed.notify()


class MemoryNetwork:
    """The network on which the buses of one process find each other. It has addresses and ports like a host."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], tuple[MemoryBus, ListenerPolicy]] = {}
        self._ports = itertools.count(49152)
        self._changed = asyncio.Condition()

    def ephemeral_port(self) -> int:
        """A port that was never used before."""
        return next(self._ports)

    async def bind(self, host: str, port: int, bus: MemoryBus, policy: ListenerPolicy) -> int:
        """Take an address; port 0 takes a free one.

        Raises:
            ListenError: it is taken.
        """
        port = 0 if host.startswith("unix:") else port or self.ephemeral_port()
        if (host, port) in self._listeners:
            raise ListenError(host, port, "address already in use")
        async with self._changed:
            self._listeners[host, port] = bus, policy
            self._changed.notify_all()
        return port

    def free(self, host: str, port: int) -> None:
        """Release an address."""
        del self._listeners[host, port]

    async def connect(
        self, host: str, port: int, theirs: Peer, subscriptions: tuple[str, ...], ours: MemoryBus
    ) -> Link:
        """Connect to the bus that listens at an address. Waits until there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._find(host, port) is not None)
        found = self._find(host, port)
        if found is None:
            raise TransportError("connection refused")
        bus, policy = found
        if bus is ours:
            raise TransportError("that is our own address")
        dialled = MemoryLink(theirs, subscriptions, ours.settings, ours.metrics)
        where = address_text(ours.host, self.ephemeral_port())
        caller = Peer(bus.new_peer_id(), ours.name, ours.host, where, policy.role, endpoint=ours.id)
        inbound = MemoryLink(caller, (), bus.settings, bus.metrics)
        dialled.other, inbound.other = inbound, dialled
        dialled.frame_limit, inbound.frame_limit = bus.settings.frame_bytes, ours.settings.frame_bytes
        dialled.peer = msgspec.structs.replace(theirs, name=bus.name)
        bus.accept(inbound, policy)
        return dialled

    def _find(self, host: str, port: int) -> tuple[MemoryBus, ListenerPolicy] | None:
        hosts = (host, *WILDCARDS)
        return next((found for name in hosts if (found := self._listeners.get((name, port)))), None)


class MemoryBus(RoutedBus):
    """A bus on a :class:`MemoryNetwork`.

    Args:
        network: the network, shared by all buses that must find each other.
        name: what it calls itself to peers.
        settings: its limits and times.
        host: the address from which it dials.
    """

    def __init__(
        self, network: MemoryNetwork, name: str = "", settings: TransportSettings | None = None, host: str = LOOPBACK
    ) -> None:
        super().__init__(name, settings)
        self.host = host
        self._network = network
        self._addresses: list[tuple[str, int]] = []
        self._accepted: set[MemoryLink] = set()

    async def listen(
        self,
        host: str,
        port: int,
        *,
        policy: ListenerPolicy | None = None,
        tls: ServerTls | None = None,
        access: AccessControl | None = None,
    ) -> int:
        port = await self._network.bind(host, port, self, policy or ListenerPolicy())
        self._addresses.append((host, port))
        return port

    def new_peer_id(self) -> int:
        """A number that no other peer of this bus has had."""
        return self._router.new_peer_id()

    def accept(self, link: MemoryLink, policy: ListenerPolicy) -> None:
        """Serve a connection that was made to us.

        Raises:
            TransportError: there are too many.
        """
        if len(self._accepted) >= self.settings.connections:
            self.metrics.connections_refused += 1
            logger.warning("refused a connection: there are %s", self.settings.connections)
            raise TransportError("too many connections")
        self._accepted.add(link)
        self._opened.create_task(self._serve(link, policy), name=f"serve {link}")

    async def _serve(self, link: MemoryLink, policy: ListenerPolicy) -> None:
        link.permissions = policy.permissions(link.peer.name)
        session = ServerSession(self.id, __version__, self.settings.subscriptions)
        deadline = asyncio.get_running_loop().time() + self.settings.handshake_timeout
        try:
            await serve(self._router, link, session, policy, deadline)
        finally:
            self._accepted.discard(link)

    async def _connect(
        self, host: str, port: int, subscriptions: tuple[str, ...], tls: ClientTls | None, role: Role
    ) -> Link:
        return await self._network.connect(host, port, self._dialled_peer("", host, port), subscriptions, self)

    async def _close_listeners(self) -> None:
        for address in self._addresses:
            self._network.free(*address)
        self._addresses.clear()
        for link in tuple(self._accepted):
            await link.close(GOING_AWAY, "endpoint closed")
