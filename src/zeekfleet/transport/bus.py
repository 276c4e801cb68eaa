"""The interface through which all parts of zeekfleet exchange events.

A bus carries events. A program subscribes to prefixes of topics, publishes events on topics, and sends and answers
requests::

    async with open_bus("ws://127.0.0.1:2150", "agent-1") as bus:
        bus.subscribe(topics.agent("agent-1"))
        async for received in bus.events():
            match received:
                case Delivery(event=agent.GetNodesRequest()): bus.reply(received, ...)

This interface says nothing about how events get from one program to another. If that needs connections, there is a
second interface to make them (:class:`~zeekfleet.transport.connections.Connections`).

Programs announce themselves by events: agents and nodes say hello. On a bus that notices it, :class:`PeerLost` tells
sooner than a missing sign of life that a program has gone.
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
    """Another program on the bus. If the bus has connections, it is the other side of one of them.

    Attributes:
        id: a number that is unique among all peers that this bus has ever had.
        name: what the program calls itself, or ``""``.
        host: the address of its host; ``""`` if it is connected by a Unix socket.
        place: where it is, for a person: ``192.0.2.1:2150`` or ``unix:PATH``.
        role: its role, as far as the listener that it connected to tells.
        dialled_for: the instance for whose agent we dialled it; None if we did not, or for something else.
        endpoint: the id of its bus, if it sent one. Two connections with the same id lead to the same program.
        uid: the user on this host that it runs as; None if that is not known.
        identity: the role and name in the certificate that it has shown; None if it has shown none.
        subscriptions: the topic prefixes that it has subscribed to, as they were sent; empty if they are not known.
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
        """Whether it has subscribed to a topic."""
        return topic.startswith(self.subscriptions)

    def is_same(self, other: Peer) -> bool:
        """Whether these are the same program, as far as is known."""
        return self.id == other.id or bool(self.endpoint and self.endpoint == other.endpoint)

    def __str__(self) -> str:
        """Its name, for a sentence; without a name, its address."""
        return self.name or self.host or self.place


class Delivery(msgspec.Struct, frozen=True):
    """An event that arrived, on a topic that was subscribed to.

    Attributes:
        topic: its topic, by the second generation's name.
        event: the event; :class:`~zeekfleet.broker.messages.UnknownEvent` when not of the protocol.
        generation: the generation of names that the sender used.
        peer: the sender.
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
"""What is received from a bus. Only a bus with connections gives the last two."""


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
        """Receive what is published on topics that start with ``prefix``, under both generations' names.

        Subscribe early: over WebSocket, subscriptions are sent when a connection is made, so a later subscription makes
        all connections anew.
        """

    @abc.abstractmethod
    def publish(self, topic: str, event: Event, generation: Generation = SECOND, *, to: Peer | None = None) -> None:
        """Send an event to every subscriber; never waits (queues are bounded, slow readers are cut off).

        Args:
            topic: the topic to publish it on.
            event: the event.
            generation: the generation of names to use.
            to: the only peer to send it to, if it has subscribed to the topic or was dialled by us. If it has gone, the
                event is dropped.

        Raises:
            ValueMismatchError: the event holds a value that cannot be encoded.
        """

    def reply(self, delivery: Delivery, response: Response, *, to: Peer | None = None) -> None:
        """Publish the response to a request, on the topic that the request names, in the sender's generation.

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
            generation: the generation of names to use.
            to: the only peer to ask; then only its response counts. Without it, every subscriber may answer.

        Raises:
            RequestTimeoutError: no response came in time.
        """

    @abc.abstractmethod
    def events(self) -> AsyncIterator[BusEvent]:
        """What arrives, in order, until the bus is closed. There may be only one reader.

        The queue is bounded: if the reader stalls, senders have to wait.
        """
