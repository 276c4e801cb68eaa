"""The one interface through which everything in zeekfleet talks.

A bus carries events. Whoever has one subscribes to prefixes of topics, publishes events on topics, asks and answers::

    async with open_bus("ws://127.0.0.1:2150", "agent-1") as bus:
        bus.subscribe(topics.agent("agent-1"))
        async for received in bus.events():
            match received:
                case Delivery(event=agent.GetNodesRequest()): bus.reply(received, ...)

A bus says nothing about how events get from one program to another. Where that is by connections that somebody makes,
these are an interface of their own (:class:`~zeekfleet.transport.connections.Connections`).

Who is there is what programs say of themselves: agents and nodes say hello. :class:`PeerLost` is a faster sign that
somebody is gone, on a bus that notices it.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.generations import SECOND, Generation
from zeekfleet.model.enums import Role
from zeekfleet.model.management import Instance
from zeekfleet.security.identity import Identity

R = TypeVar("R", bound=Response)


class Peer(msgspec.Struct, frozen=True):
    """Another program on the bus. Where the bus is made of connections, it is the other side of one of them.

    Attributes:
        id: unique among all that this bus ever had.
        name: what the program calls itself, or ``""``.
        host: the address of its host; ``""`` if it is on this host and has come by a socket file.
        place: where it is, for a person: ``192.0.2.1:2150`` or ``unix:PATH``.
        role: what it is, as far as the way by which it came tells.
        dialled_for: the instance for whose agent we dialled it; None if we did not, or for something else.
        endpoint: the id of its bus, where it tells one: two connections may lead to the same program.
        uid: the user on this host that it belongs to, where that is known.
        identity: the role and name in the certificate that it has shown; None if it has shown none.
        subscriptions: prefixes of the topics that it hears, by their names on the wire, where it has told them.
    """

    id: int
    name: str
    host: str
    place: str
    role: Role = Role.NONE
    dialled_for: Instance | None = None
    endpoint: str = ""
    uid: int | None = None
    identity: Identity | None = None
    subscriptions: tuple[str, ...] = ()

    def hears(self, topic: str) -> bool:
        """Whether it has told that it hears a topic."""
        return topic.startswith(self.subscriptions)

    def is_same(self, other: Peer) -> bool:
        """Whether these are one program, as far as is known."""
        return self.id == other.id or bool(self.endpoint and self.endpoint == other.endpoint)

    def __str__(self) -> str:
        """What to call it in a sentence: its name, or else where it is."""
        return self.name or self.host or self.place


class Delivery(msgspec.Struct, frozen=True):
    """An event that arrived, on a topic that was subscribed to.

    Attributes:
        topic: its topic, by the second generation's name.
        event: the event; :class:`~zeekfleet.broker.messages.UnknownEvent` when not of the protocol.
        generation: whose names the sender used.
        peer: who sent it.
    """

    topic: str
    event: Event
    generation: Generation
    peer: Peer


class PeerAdded(msgspec.Struct, frozen=True):
    """A connection is ready: both sides know each other's subscriptions."""

    peer: Peer


class PeerLost(msgspec.Struct, frozen=True):
    """A connection is gone; ``reason`` is for a person."""

    peer: Peer
    reason: str


BusEvent = Delivery | PeerAdded | PeerLost
"""What is received from a bus. The last two come only from a bus that is made of connections."""


class Bus(abc.ABC):
    """One program's access to a bus; use it as an async context manager, which closes everything it opened.

    Attributes:
        id: a unique id, by which others recognize this program.
        name: what it calls itself to others.
    """

    id: str
    name: str

    @abc.abstractmethod
    async def __aenter__(self) -> Self: ...

    @abc.abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abc.abstractmethod
    def subscribe(self, prefix: str) -> None:
        """Hear what is published on topics that start with ``prefix``, under both generations' names.

        Subscribe early: over WebSocket a subscription is told as a connection is made, so another one makes all
        connections anew.
        """

    @abc.abstractmethod
    def publish(self, topic: str, event: Event, generation: Generation = SECOND, *, to: Peer | None = None) -> None:
        """Send an event to every subscriber; never waits (queues are bounded, slow readers are cut off).

        Args:
            topic: where.
            event: what.
            generation: whose names to use.
            to: the only one to send it to, if it hears the topic or was dialled by us; nobody hears it if that is gone.

        Raises:
            ValueMismatchError: the event holds what the wire cannot carry.
        """

    def reply(self, delivery: Delivery, response: Response, *, to: Peer | None = None) -> None:
        """Publish the response to a request, where the request says, under the names that its sender used.

        Args:
            delivery: the request as it arrived.
            response: what to answer.
            to: as in :meth:`publish`.
        """
        request = delivery.event
        topic = request.response_topic(delivery.topic) if isinstance(request, Request) else delivery.topic
        self.publish(topic, response, delivery.generation, to=to)

    @abc.abstractmethod
    async def request(
        self, topic: str, event: Request[R], timeout: float, generation: Generation = SECOND, *, to: Peer | None = None
    ) -> R:
        """Publish a request event and wait for the response that has its ``reqid``.

        The response does not appear among :meth:`events`. Nothing is kept of a request after its time-out.

        Args:
            topic: where to publish it.
            event: the request.
            timeout: seconds.
            generation: whose names to use.
            to: whom to ask, and then whose response alone counts; without it, whoever hears it may answer.

        Raises:
            RequestTimeoutError: no response came in time.
        """

    @abc.abstractmethod
    def events(self) -> AsyncIterator[BusEvent]:
        """What arrives, in order, until the bus is closed; for one reader.

        The queue is bounded: a reader that stalls holds back the senders.
        """
