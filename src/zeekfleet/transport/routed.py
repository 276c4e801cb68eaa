"""The common part of all buses with connections: everything except how a connection is made."""

from __future__ import annotations

import abc
import asyncio
import uuid
from collections.abc import AsyncIterator, Container, Sequence
from types import TracebackType
from typing import Self

import msgspec

from zeekfleet.broker.events.base import Event, Request
from zeekfleet.broker.generations import SECOND, Generation
from zeekfleet.broker.topics import EVERYTHING
from zeekfleet.errors import TransportError
from zeekfleet.model.addresses import address_text
from zeekfleet.model.enums import Role
from zeekfleet.model.management import Instance
from zeekfleet.transport.bus import BusEvent, Peer, R
from zeekfleet.transport.connections import ConnectedBus, permissions_of_dialled
from zeekfleet.transport.dialler import Dialler
from zeekfleet.transport.encryption import ClientTls
from zeekfleet.transport.link import Link
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.prefixes import canonical
from zeekfleet.transport.router import Router
from zeekfleet.transport.settings import TransportSettings


class RoutedBus(ConnectedBus):
    """A bus with a :class:`Router`; a subclass makes and accepts the connections.

    Args:
        name: what it calls itself to peers.
        settings: its limits and times.
    """

    def __init__(self, name: str = "", settings: TransportSettings | None = None) -> None:
        self.id = str(uuid.uuid4())
        self.name = name
        self.metrics = TransportMetrics()
        self.settings = settings or TransportSettings()
        self._router = Router(self.settings, self.metrics)
        self._diallers: dict[tuple[str, int], tuple[Dialler, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group = self._opened
        try:
            await self._close_connections()
        finally:
            self._router.close()
            for _, task in self._diallers.values():
                task.cancel()
            self._diallers.clear()
            self._group = None
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                await group.__aexit__(kind, error, trace)
            else:  # the error is not passed on: the task group would wrap the caller's error in an ExceptionGroup
                await group.__aexit__(None, None, None)

    def subscribe(self, prefix: str) -> None:
        if self._router.subscribe(prefix):
            for dialler, _ in self._diallers.values():
                self._opened.create_task(dialler.renew())

    def publish(self, topic: str, event: Event, generation: Generation = SECOND, *, to: Peer | None = None) -> None:
        self._router.publish(topic, event, generation, to)

    async def request(
        self, topic: str, event: Request[R], timeout: float, generation: Generation = SECOND, *, to: Peer | None = None
    ) -> R:
        return await self._router.requests.response(
            event, timeout, lambda: self._router.request(topic, event, generation, to), to
        )

    def dial(
        self,
        host: str,
        port: int,
        *,
        publish: Sequence[str] = EVERYTHING,
        tls: ClientTls | None = None,
        role: Role = Role.NONE,
        instance: Instance | None = None,
        label: str = "",
    ) -> None:
        self.hang_up(host, port)
        subscriptions = canonical(publish)
        address = _place(host, port)

        async def connect() -> Link:
            link = await self._connect(host, port, subscriptions, tls, role)
            link.dialled = True
            link.peer = msgspec.structs.replace(link.peer, role=role, dialled_for=instance)
            link.permissions = permissions_of_dialled(role)
            return link

        dialler = Dialler(self._router, self.settings, address, connect, label)
        task = self._opened.create_task(dialler.run(), name=f"dial {address}")
        self._diallers[host, port] = dialler, task

    def hang_up(self, host: str, port: int) -> None:
        found = self._diallers.pop((host, port), None)
        if found is not None:
            self._opened.create_task(found[0].stop("unpeered"))

    def probe(self, peer: Peer, timeout: float) -> None:
        self._router.probe(peer, timeout)

    def recheck(self, revoked: Container[int] | None = None) -> None:
        self._router.recheck(revoked)

    def peers(self) -> tuple[Peer, ...]:
        return self._router.peers()

    def events(self) -> AsyncIterator[BusEvent]:
        return self._router.inbox

    @property
    def _opened(self) -> asyncio.TaskGroup:
        if self._group is None:
            raise TransportError("the bus is not open: use it as an async context manager")
        return self._group

    def _dialled_peer(self, name: str, host: str, port: int) -> Peer:
        """The peer at an address that we have dialled."""
        known = "" if _is_socket_file(host) else host
        return Peer(self._router.new_peer_id(), name, known, _place(host, port))

    async def _close_connections(self) -> None:
        async with asyncio.TaskGroup() as leaving:
            leaving.create_task(self._close_listeners())
            for dialler, _ in self._diallers.values():
                leaving.create_task(dialler.stop("endpoint closed"))

    @abc.abstractmethod
    async def _connect(
        self, host: str, port: int, subscriptions: tuple[str, ...], tls: ClientTls | None, role: Role
    ) -> Link:
        """Make one connection to a peer and upgrade it.

        Raises:
            OSError, TransportError: it cannot be made.
        """

    @abc.abstractmethod
    async def _close_listeners(self) -> None:
        """Stop accepting, and close the connections that were made to us, within a time limit."""


def _is_socket_file(host: str) -> bool:
    return host.startswith("unix:")


def _place(host: str, port: int) -> str:
    return host if _is_socket_file(host) else address_text(host, port)
