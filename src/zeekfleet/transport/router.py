"""Routes events on a bus with connections, independent of the kind of connection.

::

    publish ──────────────> inbound links, by what they subscribed to
        └─────────────────> dialled links, by what we said we publish there
    frame from a link ────> other inbound links that subscribed to it and may hear it, the same text
        ├─────────────────> the request that waits for it, or else
        └─────────────────> our reader, if we subscribed to its topic

Two programs may have two links, since each can dial the other. Each event crosses
only one of them, and a program's own events are never sent back to it.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Container

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.events.frames import ResponseTooLarge
from zeekfleet.broker.generations import Generation, canonical_topic
from zeekfleet.broker.messages import encode_event
from zeekfleet.broker.session import Deliver
from zeekfleet.errors import FrameTooLargeError
from zeekfleet.security.reports import Reports
from zeekfleet.transport.bus import Delivery, Peer, PeerAdded, PeerLost
from zeekfleet.transport.inbox import Inbox
from zeekfleet.transport.link import Link
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.prefixes import canonical, on_the_wire
from zeekfleet.transport.requests import RequestTable
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unfinished_frames import UnfinishedFrames

logger = logging.getLogger(__name__)

REPORTED_BURST = 1000
"""Lines a minute about the same kind of fault of the same peer: whoever looks for its cause wants to see some."""


class Router:
    """Passes events between the links that are ready, waiting requests, and the reader.

    Attributes:
        metrics: the bus's counters.
        inbox: the events that wait for the reader.
        requests: the requests that wait for their responses.
        reports: limits how often the same fault is logged.
        refusals: limits how often the same refusal is logged.
    """

    def __init__(self, settings: TransportSettings, metrics: TransportMetrics) -> None:
        self.metrics = metrics
        self.inbox = Inbox(settings.inbox_events, settings.inbox_bytes, settings.inbox_each, metrics)
        self.requests = RequestTable(metrics, self.inbox.expect)
        self.unfinished = UnfinishedFrames(settings.unfinished_bytes)
        self._subscriptions: tuple[str, ...] = ()
        self._inbound: dict[int, Link] = {}
        self._dialled: dict[int, Link] = {}
        self._linked_twice: frozenset[str] = frozenset()
        self._revoked: Container[int] = ()
        self._peer_ids = itertools.count(1)
        self.reports = Reports(burst=REPORTED_BURST)
        self.refusals = Reports()

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topic prefixes to subscribe to when we dial, in both generations' names."""
        return on_the_wire(self._subscriptions)

    def new_peer_id(self) -> int:
        """A number that no other peer has had."""
        return next(self._peer_ids)

    def peers(self) -> tuple[Peer, ...]:
        """The peers of all links that are ready, in the order in which they came."""
        return tuple(link.peer for _, link in sorted({**self._inbound, **self._dialled}.items()))

    def subscribe(self, prefix: str) -> bool:
        """Add a subscription. Returns False if an earlier one covers it."""
        widened = canonical([*self._subscriptions, prefix])
        changed = widened != self._subscriptions
        self._subscriptions = widened
        return changed

    def request(self, topic: str, event: Request[Response], generation: Generation, to: Peer | None = None) -> None:
        """Send a request, as :meth:`publish` does.

        Raises:
            FrameTooLargeError: it is larger than a receiver accepts.
            ValueMismatchError: the event holds a value that cannot be encoded.
        """
        if problem := self.publish(topic, event, generation, to):
            raise FrameTooLargeError(event.reqid, problem)

    def publish(self, topic: str, event: Event, generation: Generation, to: Peer | None = None) -> str:
        """Send an event to all links that subscribe to its topic, or only to the peer ``to``.

        Returns:
            A sentence about a peer for which the event was too large; ``""`` if there is none. If the event is a
            response, that peer has been told.

        Raises:
            ValueMismatchError: the event holds a value that cannot be encoded.
        """
        frame = encode_event(topic, event, generation)
        on_wire, canonical_name = generation.topic(topic), canonical_topic(topic)
        if to is not None:
            link = self._link_to(to)
            if link is None or not (link.dialled or link.hears(type(event), canonical_name, on_wire)):
                return ""
            return self._send_event(link, topic, event, frame)
        problem = ""
        told: set[str] = set()
        for link in self._inbound.values():
            if link.hears(type(event), canonical_name, on_wire):
                problem = self._send_event(link, topic, event, frame) or problem
                if self._linked_twice:
                    told.add(link.peer.endpoint)
        told &= self._linked_twice
        for link in self._dialled.values():
            if canonical_name.startswith(link.subscriptions) and link.peer.endpoint not in told:
                problem = self._send_event(link, topic, event, frame) or problem
        return problem

    def receive(self, source: Link, arrived: Deliver) -> None:
        """Pass on an event that arrived over a link."""
        topic = canonical_topic(arrived.topic)
        for link in self._inbound.values():
            if link.hears(type(arrived.event), topic, arrived.topic) and not link.peer.is_same(source.peer):
                self._send(link, arrived.frame)
        if self.requests.resolve(arrived.event, source.peer):
            return
        if isinstance(arrived.event, ResponseTooLarge) and self.requests.fail(arrived.event, source.peer):
            return
        if topic.startswith(self._subscriptions):
            self.metrics.deliveries += 1
            delivery = Delivery(topic, arrived.event, arrived.generation, source.peer)
            self.inbox.put(delivery, len(arrived.frame))

    def probe(self, peer: Peer, timeout: float) -> None:
        """Cut each link to this peer's program that gives no sign of life within ``timeout`` seconds."""
        for link in (*self._inbound.values(), *self._dialled.values()):
            if link.peer.is_same(peer):
                link.probe(timeout)

    def recheck(self, revoked: Container[int] | None) -> None:
        """Cut each link whose peer has shown a certificate; with ``revoked``, only if that has one of these numbers."""
        self._revoked = self._revoked if revoked is None else revoked
        for link in (*self._inbound.values(), *self._dialled.values()):
            if link.serial is not None and (revoked is None or link.serial in revoked):
                link.cut("other certificates count now")

    def attach(self, link: Link) -> None:
        """Add a link that is ready.

        If the same program has already dialled us from the same host, its former link is dead: no program dials twice.
        """
        peer = link.peer
        if link.serial in self._revoked:  # since its handshake
            link.cut("other certificates count now")
        if peer.endpoint and not link.dialled:
            for other in tuple(self._inbound.values()):
                if other.peer.endpoint == peer.endpoint and other.peer.host == peer.host:
                    other.cut("its peer has made a new connection")
                    self.detach(other)
        (self._dialled if link.dialled else self._inbound)[peer.id] = link
        self._find_double_links()
        logger.debug("peer added: %s", link)
        self.inbox.put(PeerAdded(peer))

    def detach(self, link: Link) -> None:
        """Remove a link that has ended. Does nothing if it was never ready."""
        links = self._dialled if link.dialled else self._inbound
        if links.pop(link.peer.id, None) is not None:
            self._find_double_links()
            reason = link.reason or "connection closed"
            self._log_end(link, reason)
            self.inbox.put(PeerLost(link.peer, reason))

    def _log_end(self, link: Link, reason: str) -> None:
        """Log the end of a link. Every command of a client is a connection, so only faults are warnings."""
        text = f"peer lost: {link}: {reason}"
        level = logging.DEBUG
        if link.faulty and (line := self.reports.line((link.peer.host, link.peer.uid, "lost"), lambda: text)):
            level, text = logging.WARNING, line
        logger.log(level, "%s", text, extra={"address": link.peer.place, "error": reason})

    def close(self) -> None:
        """End all requests, and the reader's iteration."""
        self.requests.close()
        self.inbox.close()

    def _find_double_links(self) -> None:
        """Find the programs that have dialled us and that we have dialled."""
        inbound = {link.peer.endpoint for link in self._inbound.values()}
        dialled = {link.peer.endpoint for link in self._dialled.values()}
        self._linked_twice = frozenset(inbound & dialled - {""})

    def _link_to(self, peer: Peer) -> Link | None:
        """The peer's link, or, if that has ended, another one to the same program."""
        links = self._inbound | self._dialled
        return links.get(peer.id) or next((link for link in links.values() if link.peer.is_same(peer)), None)

    def _send_event(self, link: Link, topic: str, event: Event, frame: bytes) -> str:
        if self._send(link, frame):
            return ""
        name = event.event_name.rpartition("::")[2]
        size, limit = _mebibytes(len(frame)), _mebibytes(link.frame_limit or 0)
        problem = f"{name} of {size} is more than the {limit} that {link} accepts (--frame-limit)"
        logger.error("%s: it was not sent", problem)
        if isinstance(event, Response):
            self._send(link, encode_event(topic, ResponseTooLarge(event.reqid, problem)))
        return problem

    def _send(self, link: Link, frame: bytes) -> bool:
        """Send a frame. False if the peer would not accept it because of its size: then it is not sent."""
        if link.frame_limit is not None and len(frame) > link.frame_limit:
            self.metrics.frames_too_large += 1
            return False
        self.metrics.frames_out += 1
        link.send(frame)
        return True


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size} bytes"
