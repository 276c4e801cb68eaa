"""The one interface through which everything in zeekfleet talks.

An endpoint is what Broker calls an endpoint: it listens, peers with others,
subscribes to topic prefixes, and publishes events on topics. Who listens and
who dials makes no difference to what can be said, except that on the wire a
dialling side tells its subscriptions and is sent only what matches, whereas it
sends up all it publishes (narrowed by ``publish`` when it peers).

    async with WebSocketEndpoint(name="agent-1") as endpoint:
        endpoint.subscribe(topics.agent("agent-1"))
        endpoint.peer("127.0.0.1", 2150)
        async for happening in endpoint.events():
            match happening:
                case Delivery(event=agent.GetNodesRequest()): endpoint.reply(happening, ...)
"""

from __future__ import annotations

import abc
import ssl
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.generations import SECOND, Generation
from zeekfleet.model.addresses import place
from zeekfleet.security.door import Door
from zeekfleet.transport.metrics import TransportMetrics

R = TypeVar("R", bound=Response)

EVERYTHING = ("",)
"""The topic prefixes that match every topic."""


class Peer(msgspec.Struct, frozen=True):
    """The other side of a connection.

    Attributes:
        id: unique among all connections this endpoint ever had.
        name: what the peer calls itself (``X-Application-Name``), or ``""``.
        host: its address, or ``unix:PATH``.
        port: its port (the listening one when we dialled), 0 for ``unix:``.
        dialled: whether we made the connection.
        endpoint: the other side's endpoint id, where it tells one: what dials and what is dialled may be the same.
        uid: the user on this host that the connection belongs to, where that is known.
    """

    id: int
    name: str
    host: str
    port: int
    dialled: bool
    endpoint: str = ""
    uid: int | None = None

    def is_same(self, other: Peer) -> bool:
        """Whether these are connections to one endpoint, or one connection."""
        return self.id == other.id or bool(self.endpoint and self.endpoint == other.endpoint)

    @property
    def place(self) -> str:
        """Its address, for a person."""
        return self.host if self.host.startswith("unix:") else place(self.host, self.port)


class Delivery(msgspec.Struct, frozen=True):
    """An event that arrived, on a topic this endpoint subscribed to.

    Attributes:
        topic: its topic, by the second generation's name.
        event: the event; :class:`~zeekfleet.broker.messages.UnknownEvent` when not of the protocol.
        generation: whose names the sender used.
        peer: where it came from.
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


Happening = Delivery | PeerAdded | PeerLost


class TopicPolicy(msgspec.Struct, frozen=True):
    """What the peers of a listener may do, by topics of either generation's name.

    Attributes:
        publish: where they may publish: on these topics and those below them (``topic/…``); ``""`` is everywhere.
        subscribe: what they may hear: topics with these prefixes, as in subscriptions.
        answer: of the topics where they may publish, those on which they may publish responses.
        relay: of what they may hear, the topics on which they also hear each other; on others, us alone.
    """

    publish: tuple[str, ...] = EVERYTHING
    subscribe: tuple[str, ...] = EVERYTHING
    answer: tuple[str, ...] = EVERYTHING
    relay: tuple[str, ...] = EVERYTHING


class Endpoint(abc.ABC):
    """An endpoint; use it as an async context manager, which closes everything it opened.

    Attributes:
        id: a unique id, told to peers in the handshake.
        name: what it calls itself to peers.
        metrics: what it has counted so far.
    """

    id: str
    name: str
    metrics: TransportMetrics

    @abc.abstractmethod
    async def __aenter__(self) -> Self: ...

    @abc.abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abc.abstractmethod
    def subscribe(self, prefix: str) -> None:
        """Hear what is published on topics that start with ``prefix``, under both generations' names.

        Subscribe before dialling: the wire has no later subscription, so links that are up are made anew.
        """

    @abc.abstractmethod
    def publish(self, topic: str, event: Event, generation: Generation = SECOND, *, to: Peer | None = None) -> None:
        """Send an event to every subscriber; never waits (queues are bounded, slow readers are cut off).

        An endpoint with which there is a connection that it made and one that we made is sent it once.

        Args:
            topic: where.
            event: what.
            generation: whose names to use.
            to: the one peer to send it to, if it hears the topic or was dialled by us; nobody hears it if that is gone.

        Raises:
            ValueMismatchError: the event holds what the wire cannot carry.
        """

    def reply(self, delivery: Delivery, event: Event) -> None:
        """Publish on the topic, and under the generation's names, of what was delivered."""
        self.publish(delivery.topic, event, delivery.generation)

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
    async def listen(
        self,
        host: str,
        port: int,
        *,
        policy: TopicPolicy | None = None,
        tls: ssl.SSLContext | None = None,
        door: Door | None = None,
    ) -> int:
        """Accept connections; may be called several times.

        Args:
            host: address, or ``unix:PATH`` (mode 0600, any path length).
            port: 0 takes any free one.
            policy: what peers that connect here may do; everything when left out.
            tls: a server's context, or None for plain text.
            door: whom to let in; everybody when left out. Where ``tls`` wants certificates, these decide.

        Returns:
            The port that was bound (0 for ``unix:``).

        Raises:
            ListenError: the address cannot be bound.
        """

    @abc.abstractmethod
    def peer(
        self,
        host: str,
        port: int,
        *,
        publish: Sequence[str] = EVERYTHING,
        tls: ssl.SSLContext | None = None,
        role: str = "",
    ) -> None:
        """Connect, and connect again whenever the connection is lost, until :meth:`unpeer`.

        Attempts are spaced by exponential backoff with jitter. ``PeerAdded`` tells of success.

        Args:
            host: address or name, or ``unix:PATH``.
            port: the other side's port.
            publish: send only what is published on topics with one of these prefixes
                (second-generation names; the first generation's twins are included).
            tls: a client's context, or None for plain text.
            role: what is there, for the log; it is news then if it cannot be reached, and when it can be again.
        """

    @abc.abstractmethod
    def unpeer(self, host: str, port: int) -> None:
        """Close what :meth:`peer` keeps open; unknown addresses are ignored."""

    @abc.abstractmethod
    def probe(self, peer: Peer, timeout: float) -> None:
        """Have a connection end soon if there is nobody at its other end any more; unknown ones are ignored.

        Args:
            peer: whose connection.
            timeout: seconds in which it has to give a sign of life.
        """

    @abc.abstractmethod
    def peers(self) -> tuple[Peer, ...]:
        """The connections that are ready."""

    @abc.abstractmethod
    def events(self) -> AsyncIterator[Happening]:
        """What arrives, in order, until the endpoint is closed; for one reader.

        The queue is bounded: a reader that stalls holds back the senders' connections.
        """
