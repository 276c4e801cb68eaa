"""What every endpoint does with events, whatever its connections are made of.

::

    publish ──────────────> inbound links, by what they subscribed to
        └─────────────────> dialled links, by what we said we publish there
    frame from a link ────> other inbound links, the same text
        ├─────────────────> the request that waits for it, or else
        └─────────────────> our reader, if we subscribed to its topic
"""

from __future__ import annotations

import itertools
import logging

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import Generation, canonical_topic
from zeekfleet.broker.messages import encode_event
from zeekfleet.broker.session import Deliver
from zeekfleet.transport.endpoint import Delivery, Peer, PeerAdded, PeerLost
from zeekfleet.transport.happenings import HappeningQueue
from zeekfleet.transport.link import Link
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.prefixes import canonical, on_the_wire
from zeekfleet.transport.requests import RequestTable
from zeekfleet.transport.settings import TransportSettings

logger = logging.getLogger(__name__)


class Router:
    """The links that are ready, our subscriptions, our requests and our reader's queue."""

    def __init__(self, settings: TransportSettings, metrics: TransportMetrics) -> None:
        self.metrics = metrics
        self.happenings = HappeningQueue(settings.happenings, settings.happenings_bytes, metrics)
        self.requests = RequestTable(metrics, self.happenings.expect)
        self._subscriptions: tuple[str, ...] = ()
        self._inbound: dict[int, Link] = {}
        self._dialled: dict[int, Link] = {}
        self._peer_ids = itertools.count(1)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """What to subscribe to where we dial, under both generations' names."""
        return on_the_wire(self._subscriptions)

    def new_peer_id(self) -> int:
        """A number no other peer of this endpoint has had."""
        return next(self._peer_ids)

    def peers(self) -> tuple[Peer, ...]:
        """Everyone who is ready, in the order of their coming."""
        return tuple(link.peer for _, link in sorted({**self._inbound, **self._dialled}.items()))

    def subscribe(self, prefix: str) -> bool:
        """Add a subscription; whether it adds anything to what we hear."""
        widened = canonical([*self._subscriptions, prefix])
        changed = widened != self._subscriptions
        self._subscriptions = widened
        return changed

    def publish(self, topic: str, event: Event, generation: Generation, to: Peer | None = None) -> None:
        """Send an event to all links that are to hear it, or to one of them.

        Raises:
            ValueMismatchError: the event holds what the wire cannot carry.
        """
        frame = encode_event(topic, event, generation)
        if to is not None:
            self._send_one(to, generation.topic(topic), frame)
            return
        self._send(self._inbound, generation.topic(topic), frame, None)
        self._send(self._dialled, canonical_topic(topic), frame, None)

    def receive(self, source: Link, arrived: Deliver) -> None:
        """Route what arrived from a link."""
        self._send(self._inbound, arrived.topic, arrived.frame, source)
        if self.requests.resolve(arrived.event, source.peer):
            return
        topic = canonical_topic(arrived.topic)
        if topic.startswith(self._subscriptions):
            self.metrics.deliveries += 1
            delivery = Delivery(topic, arrived.event, arrived.generation, source.peer)
            self.happenings.put(delivery, len(arrived.frame))

    def attach(self, link: Link) -> None:
        """A link is ready."""
        (self._dialled if link.peer.dialled else self._inbound)[link.peer.id] = link
        logger.debug("peer added: %s", link)
        self.happenings.put(PeerAdded(link.peer))

    def detach(self, link: Link) -> None:
        """A link is gone; nothing happens if it never was ready."""
        links = self._dialled if link.peer.dialled else self._inbound
        if links.pop(link.peer.id, None) is not None:
            reason = link.reason or "connection closed"
            # A client comes and goes with every command: only what is wrong is told.
            logger.log(logging.WARNING if link.faulty else logging.DEBUG, "peer lost: %s: %s", link, reason)
            self.happenings.put(PeerLost(link.peer, reason))

    def close(self) -> None:
        """End the requests and the reader."""
        self.requests.close()
        self.happenings.close()

    def _send_one(self, to: Peer, topic: str, frame: bytes) -> None:
        link = self._dialled.get(to.id) or self._inbound.get(to.id)
        if link is not None and (to.dialled or topic.startswith(link.hears)):
            self.metrics.frames_out += 1
            link.send(frame)

    def _send(self, links: dict[int, Link], topic: str, frame: bytes, source: Link | None) -> None:
        for link in links.values():
            if link is not source and topic.startswith(link.hears):
                self.metrics.frames_out += 1
                link.send(frame)
