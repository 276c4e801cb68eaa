"""The interface of one connection to a peer."""

from __future__ import annotations

import abc

from zeekfleet.broker.events.base import Event
from zeekfleet.security.permissions import Permissions
from zeekfleet.transport.bus import Peer


class Link(abc.ABC):
    """A connection that carries text frames.

    Attributes:
        peer: the other side.
        dialled: whether we dialled.
        subscriptions: events on topics with these prefixes are sent to the peer. If the peer dialled, they are what it
            subscribed to, in the names on the wire. If we dialled, they are what we publish there, in the second
            generation's names.
        permissions: what the peer may say and hear; None for everything.
        serial: the number of the certificate that the peer has shown; None if it has shown none.
        frame_limit: the largest frame that the peer accepts, in bytes; None if it did not say.
        reason: why the connection ended; for a person.
        problems: how many of the peer's messages could not be understood.
        faulty: whether it ended by the peer's fault: it did not read, gave no sign of life, or broke the protocol.
    """

    def __init__(self, peer: Peer, subscriptions: tuple[str, ...] = ()) -> None:
        self.peer = peer
        self.dialled = False
        self.subscriptions = subscriptions
        self.permissions: Permissions | None = None
        self.serial: int | None = None
        self.frame_limit: int | None = None
        self.reason = ""
        self.faulty = False
        self.problems = 0

    def hears(self, event: type[Event], topic: str, on_wire: str) -> bool:
        """Whether a peer that dialled us has subscribed to this event, and may hear it.

        Args:
            event: the event's class.
            topic: the topic's second-generation name.
            on_wire: the topic as it is sent.
        """
        if not on_wire.startswith(self.subscriptions):
            return False
        return self.permissions is None or self.permissions.may_hear(event, topic)

    def __str__(self) -> str:
        name = f"{self.peer.name} " if self.peer.name else ""
        return f"{name}({self.peer.place})"

    @abc.abstractmethod
    def send(self, frame: bytes) -> None:
        """Send a text frame, without waiting; a peer that does not read is cut off."""

    @abc.abstractmethod
    async def receive(self) -> bytes | None:
        """The next frame; None for a binary one.

        Raises:
            TransportError: the connection is over; the error says why.
        """

    @abc.abstractmethod
    def hold(self, held: bool) -> None:
        """Note that we stop reading, or continue. While we do not read, the peer's silence means nothing."""

    @abc.abstractmethod
    def probe(self, timeout: float) -> None:
        """Cut the connection unless the peer gives a sign of life within so many seconds."""

    @abc.abstractmethod
    def cut(self, reason: str) -> None:
        """End the connection at once, by the peer's fault."""

    @abc.abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Close the connection, within a time limit. What was sent before still arrives if the peer reads."""
