"""Which instances there are, which have said hello, which are ready: pure bookkeeping (docs/protocol.md, section 8)."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping

import msgspec

from zeekfleet.broker.generations import FIRST, Generation
from zeekfleet.controller.plan import moves
from zeekfleet.lifecycle.outlook import clock_text
from zeekfleet.model.addresses import place
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import UNSPECIFIED, Address, Port
from zeekfleet.transport.endpoint import Peer

REMEMBERED = 10_000
"""Instances that are remembered when they are gone; beyond it the one that went first is forgotten."""

NAMESAKES_MAX = 16
"""Refused agents of one name that are remembered."""


class Known(msgspec.Struct, frozen=True):
    """An instance that has said hello.

    Attributes:
        instance: its name, and the address and port as the controller sees them.
        peer: the connection it said hello on.
        generation: whose names it speaks.
        endpoint: the id of its agent's endpoint, ``""`` if it did not tell: two links with one id lead to one agent.
    """

    instance: Instance
    peer: Peer
    generation: Generation
    endpoint: str = ""

    def is_same_agent(self, other: Known) -> bool:
        """Whether these two links lead to one agent."""
        return self.peer.is_same(other.peer) or bool(self.endpoint and self.endpoint == other.endpoint)

    @property
    def told_endpoint(self) -> str:
        """The id of its agent's endpoint, wherever it has told it."""
        return self.endpoint or self.peer.endpoint


class Place(msgspec.Struct, frozen=True):
    """Where an instance was when it went.

    Attributes:
        host: its agent's address, as the controller saw it.
        endpoint: the id of its agent's endpoint, ``""`` if that is not known.
    """

    host: str
    endpoint: str = ""

    def is_of(self, said: Known) -> bool:
        """Whether this may be the agent that went: its process, or one on its host."""
        return said.peer.host == self.host or bool(self.endpoint and self.endpoint == said.told_endpoint)


class Hello(enum.Enum):
    """What a hello means."""

    NEWS = enum.auto()
    """The instance is known, or known by one link more."""

    NO_NEWS = enum.auto()
    """It was known just so."""

    REFUSED = enum.auto()
    """Another agent of this name is known, or was a moment ago: this one comes in when that is gone for good."""

    REFUSED_BEFORE = enum.auto()
    """As REFUSED, by one that said so before."""


class Instances:
    """The controller's view of its instances.

    Attributes:
        configured: those of the current configuration, by name.
        met: those that a deployment under way would like to have, by name; they may move what is configured.
        known: those that said hello and are still connected, by name, each with the link that is used.

    Args:
        clock: the time, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.configured: dict[str, Instance] = {}
        self.met: dict[str, Instance] = {}
        self.known: dict[str, Known] = {}
        self._links: dict[str, list[Known]] = {}
        self._namesakes: dict[str, dict[int, Known]] = {}
        self._kept: dict[str, Place] = {}
        self._welcomed: set[tuple[str, int]] = set()
        self._refusals: dict[tuple[str, int], str] = {}
        self._abilities: dict[tuple[str, int], frozenset[str]] = {}
        self._gone_since: dict[str, float] = {}
        self._clock = clock

    def told_its_capabilities(self, name: str, peer: Peer, capabilities: frozenset[str]) -> None:
        """Note what a known instance's agent can do beyond the protocol."""
        is_known = any(link.peer == peer for link in self._links.get(name, ()))
        if is_known or peer.id in self._namesakes.get(name, {}):
            self._abilities[name, peer.id] = capabilities

    def can(self, link: Known, capability: str) -> bool:
        """Whether the agent at this link has told that it can do this."""
        return capability in self._abilities.get((link.instance.name, link.peer.id), ())

    def hello(self, name: str, peer: Peer, connecting: bool, generation: Generation, endpoint: str = "") -> Hello:
        """Note a hello. An agent says it in both generations' names, and on each of its links.

        Of several agents of a name the first stays while it is connected, and the others wait for its end; but one
        that a deployment under way looks for at this very connection is welcome. The place of one that has just gone
        is kept for it: it may only be started again, and its nodes run on.
        """
        said = Known(
            Instance(
                name,
                Address(peer.host) if not peer.host.startswith("unix:") else UNSPECIFIED,
                Port(peer.port) if not connecting and peer.dialled else None,
            ),
            peer,
            generation,
            endpoint or peer.endpoint,
        )
        links = self._links.get(name, [])
        is_another = bool(links) and not any(link.is_same_agent(said) for link in links)
        is_none_of_it = not links and not self._may_take_place(said)
        if (is_another or is_none_of_it) and not self.is_expected(name, peer):
            return self._refuse(name, said)
        self._kept.pop(name, None)
        self._links[name] = links
        place, present = next(((at, link) for at, link in enumerate(links) if link.peer == peer), (len(links), None))
        if present is not None and _is_no_news(said, present):
            return Hello.NO_NEWS
        links[place:] = [said, *links[place + 1 :]]
        self._choose(name)
        self._gone_since.pop(name, None)
        return Hello.NEWS

    def _refuse(self, name: str, said: Known) -> Hello:
        namesakes = self._namesakes.setdefault(name, {})
        before = namesakes.get(said.peer.id)
        if before is not None and _is_no_news(said, before):
            return Hello.REFUSED_BEFORE
        if before is not None or len(namesakes) < NAMESAKES_MAX:
            namesakes[said.peer.id] = said
        return Hello.REFUSED if before is None else Hello.REFUSED_BEFORE

    def is_refused(self, name: str, peer: Peer) -> bool:
        """Whether the agent at this connection waits for the end of another one of its name."""
        return peer.id in self._namesakes.get(name, {})

    def why_refused(self, name: str) -> str:
        """Why another agent of this name is not taken now."""
        if (known := self.known.get(name)) is not None:
            return f"another agent named {name} is connected, from {known.peer.place}"
        place = self._kept.get(name)
        host = place.host if place is not None else "another host"
        return f"the agent named {name} at {host} was connected a moment ago, and is waited for"

    def place_kept(self, name: str) -> Place | None:
        """The place that is kept for an instance which has just gone; to be handed to :meth:`give_away` in time."""
        return self._kept.get(name)

    def keep_places(self) -> dict[str, Place]:
        """Keep those of configured instances that dial us and are not here yet; which these are."""
        kept = {
            name: Place(str(instance.host))
            for name, instance in self.configured.items()
            if name not in self.known and instance.host != UNSPECIFIED and instance.listen_port is None
        }
        self._kept |= kept
        return kept

    def give_away(self, name: str, place: Place) -> bool:
        """Keep this place no longer; whether another agent of the name has waited for that, and is known now."""
        if self._kept.get(name) is not place:
            return False
        del self._kept[name]
        self._choose(name)
        return name in self.known

    def _may_take_place(self, said: Known) -> bool:
        place = self._kept.get(said.instance.name)
        return place is None or place.is_of(said)

    def refused_us(self, link: Known, reason: str) -> None:
        """The agent at this link has answered its welcome with a refusal."""
        self._refusals[link.instance.name, link.peer.id] = reason

    def welcomed(self, link: Known) -> None:
        """The agent at this link has answered its welcome."""
        self._refusals.pop((link.instance.name, link.peer.id), None)
        if link.peer in (present.peer for present in self._links.get(link.instance.name, ())):
            self._welcomed.add((link.instance.name, link.peer.id))

    def unwelcome(self, name: str) -> None:
        """The instance is part of no cluster any more: the next one that wants it welcomes it anew."""
        self._welcomed = {mark for mark in self._welcomed if mark[0] != name}

    def is_welcomed(self, link: Known) -> bool:
        """Whether the agent at this link has answered its welcome."""
        return (link.instance.name, link.peer.id) in self._welcomed

    @property
    def ready(self) -> set[str]:
        """Names of configured ones that have answered the welcome, on the link that is used."""
        return {name for name, link in self.known.items() if name in self.configured and self.is_welcomed(link)}

    def lost(self, peer: Peer) -> list[str]:
        """Forget a connection; the names of those who spoke on it, who may be known by another one still.

        Where that was an agent's last one, the next of its name that has waited for that is known from now on. But
        the place of a configured instance is kept, until :meth:`give_away`, for who comes from where it was.
        """
        for namesakes in self._namesakes.values():
            namesakes.pop(peer.id, None)
        names = [name for name, links in self._links.items() if any(link.peer == peer for link in links)]
        for name in names:
            last = self.known.get(name)
            self._links[name] = [link for link in self._links[name] if link.peer != peer]
            if not self._links[name] and last is not None and name in self.configured:
                self._kept[name] = Place(last.peer.host, last.told_endpoint)
            self._choose(name)
        self._namesakes = {name: waiting for name, waiting in self._namesakes.items() if waiting}
        self._welcomed = {mark for mark in self._welcomed if mark[1] != peer.id}
        self._refusals = {mark: why for mark, why in self._refusals.items() if mark[1] != peer.id}
        self._abilities = {mark: names for mark, names in self._abilities.items() if mark[1] != peer.id}
        return names

    def has_link(self, name: str, peer: Peer) -> bool:
        """Whether the instance is known by this connection, or by another one of the same agent."""
        return any(link.peer.is_same(peer) for link in self._links.get(name, ()))

    def adopt(self, configuration: Configuration) -> None:
        """Make the configuration's instances the current ones."""
        self.configured = {instance.name: instance for instance in configuration.instances}
        self.met = {}
        left = self._kept.keys() - self.configured.keys()
        for name in left:
            del self._kept[name]
        for name in {*self._links, *left}:
            self._choose(name)

    def is_expected(self, name: str, peer: Peer) -> bool:
        """Whether a deployment under way wants the instance of this name at this very connection."""
        instance = self.met.get(name)
        return instance is not None and _is_dialled_at(peer, instance)

    def reached(self, instance: Instance) -> Known | None:
        """The link to an instance as a new configuration has it; one that moves has to be met where it moves to."""
        present = self.known.get(instance.name)
        configured = self.configured.get(instance.name)
        if instance.listen_port is None or configured is None or not moves(configured, instance):
            return present
        links = reversed(self._links.get(instance.name, ()))
        # An agent that dials us has one link, whatever we dial.
        return next(
            (
                link
                for link in links
                if _is_dialled_at(link.peer, instance)
                or (not link.peer.dialled and link.instance.host == instance.host)
            ),
            None,
        )

    def _choose(self, name: str) -> None:
        """Use the link that the configuration names, if there is one, else the newest."""
        links = self._links.get(name, [])
        if not links and (heir := self._heir(name)) is not None:
            links = self._links[name] = [heir]
        if not links:
            self._links.pop(name, None)
            self._went(name)
            return
        instance = self.configured.get(name)
        fitting = [link for link in links if instance is not None and _is_dialled_at(link.peer, instance)]
        self.known[name] = (fitting or links)[-1]

    def _heir(self, name: str) -> Known | None:
        """The first of those who have waited that may be known now."""
        waiting = self._namesakes.get(name, {})
        heir = next((said for said in waiting.values() if self._may_take_place(said)), None)
        if heir is not None:
            del waiting[heir.peer.id]
            self._kept.pop(name, None)
            self._gone_since.pop(name, None)
        return heir

    def _went(self, name: str) -> None:
        if self.known.pop(name, None) is not None:
            self._gone_since[name] = self._clock()
            if len(self._gone_since) > REMEMBERED:
                del self._gone_since[next(iter(self._gone_since))]

    def recall(self, gone: Mapping[str, float]) -> None:
        """Take over since when instances were gone, as an earlier process knew it."""
        self._gone_since = {name: since for name, since in gone.items() if name not in self.known} | self._gone_since

    def presence(self, name: str) -> str:
        """Such as ``connected``, ``never connected`` or ``gone since 14:03``, in this host's time."""
        if name in self.known:
            return "connected"
        since = self._gone_since.get(name)
        return "never connected" if since is None else f"gone since {clock_text(since, self._clock())}"

    def missing(self) -> dict[str, str]:
        """Who is to be met and has not answered its welcome, each with what is known of it, sorted by name."""
        return {name: why for name, instance in sorted(self.met.items()) if (why := self._why_missing(instance))}

    def _why_missing(self, instance: Instance) -> str:
        """What keeps an instance from being ready, ``""`` if nothing does."""
        link = self.reached(instance)
        if link is not None and self.is_welcomed(link):
            return ""
        if link is not None:
            refusal = self._refusals.get((instance.name, link.peer.id))
            return f"refuses this controller: {refusal}" if refusal else "does not answer its welcome"
        if instance.name in self.known and instance.listen_port is not None:
            return f"not at {place(str(instance.host), instance.listen_port.number)} yet"
        return self.presence(instance.name)

    @property
    def all_ready(self) -> bool:
        """Whether every configured instance is ready."""
        return self.ready == self.configured.keys()

    def with_addresses(self, configuration: Configuration) -> Configuration:
        """A copy in which instances without address have the one that the controller sees."""
        return msgspec.structs.replace(
            configuration, instances=tuple(self._with_address(instance) for instance in configuration.instances)
        )

    def _with_address(self, instance: Instance) -> Instance:
        known = self.known.get(instance.name)
        if instance.host != UNSPECIFIED or known is None:
            return instance
        return msgspec.structs.replace(instance, host=known.instance.host)


def _is_dialled_at(peer: Peer, instance: Instance) -> bool:
    """Whether this is the connection that the instance's address and port stand for."""
    port = instance.listen_port
    return port is not None and peer.dialled and (peer.host, peer.port) == (str(instance.host), port.number)


def _is_no_news(said: Known, before: Known) -> bool:
    """Whether an agent says the same once more, or in the first generation's names what it has said in the second's."""
    return said == before or (said.generation is FIRST and before.generation is not FIRST)
