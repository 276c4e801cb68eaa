"""Which instances are configured, which have said hello, which are ready; pure (docs/protocol.md, section 8)."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from zeekfleet.broker.generations import Generation
from zeekfleet.controller.agent_link import AgentLink, is_dialled_at
from zeekfleet.controller.name_claims import NameClaims, Reservation
from zeekfleet.controller.plan import moves
from zeekfleet.lifecycle.wording import clock_text
from zeekfleet.model.addresses import address_text
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import UNSPECIFIED, Address
from zeekfleet.transport.bus import Peer

REMEMBERED = 10_000
"""The most disconnected instances that are remembered. The one that disconnected first is forgotten first."""


class Hello(enum.Enum):
    """What a hello has changed."""

    NEWS = enum.auto()
    """The instance is known now, or has one more link."""

    NO_NEWS = enum.auto()
    """The instance was already known by this link."""

    REFUSED = enum.auto()
    """Another agent has this name, or had it a moment ago. This one waits until the other has gone for good."""

    REFUSED_BEFORE = enum.auto()
    """As REFUSED, and the agent was told so before."""


class Instances:
    """The controller's view of its instances.

    Attributes:
        configured: the instances of the current configuration, by name.
        sought: the instances that a deployment waits for, by name; they may be configured at another address.
        known: the link that is used for each instance that has said hello and is still connected, by name.

    Args:
        clock: the time, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.configured: dict[str, Instance] = {}
        self.sought: dict[str, Instance] = {}
        self.known: dict[str, AgentLink] = {}
        self._links: dict[str, list[AgentLink]] = {}
        self._claims = NameClaims()
        self._welcomed: set[tuple[str, int]] = set()
        self._refusals: dict[tuple[str, int], str] = {}
        self._abilities: dict[tuple[str, int], frozenset[str]] = {}
        self._gone_since: dict[str, float] = {}
        self._clock = clock

    def told_its_capabilities(self, name: str, peer: Peer, capabilities: frozenset[str]) -> bool:
        """Note what the agent at this connection can do in addition to the protocol.

        Returns:
            Whether it was noted; False if the agent has not said hello.
        """
        is_known = any(link.peer == peer for link in self._links.get(name, ()))
        if not is_known and not self._claims.is_waiting(name, peer):
            return False
        self._abilities[name, peer.id] = capabilities
        return True

    def can(self, link: AgentLink, capability: str) -> bool:
        """Whether the agent at this link has said that it has this capability."""
        return capability in self._abilities.get((link.instance.name, link.peer.id), ())

    def hello(self, name: str, peer: Peer, connecting: bool, generation: Generation, endpoint: str = "") -> Hello:
        """Note a hello. An agent says hello in both generations' names, and on each of its links.

        Only one agent may have a name (:mod:`~zeekfleet.controller.name_claims`). There is one exception: if a
        deployment moves the instance to the address of this connection, the agent there is always accepted.

        Args:
            name: the instance's name.
            peer: the connection.
            connecting: whether the agent dials the controller.
            generation: the generation of the hello's name.
            endpoint: the agent's endpoint id, if the hello has it.
        """
        said = AgentLink(
            Instance(
                name,
                Address(peer.host) if peer.host else UNSPECIFIED,
                peer.dialled_for.listen_port if not connecting and peer.dialled_for else None,
            ),
            peer,
            generation,
            endpoint or peer.endpoint,
        )
        links = self._links.get(name, [])
        is_another = bool(links) and not any(link.is_same_agent(said) for link in links)
        is_kept_out = not links and not self._claims.may_have(said)
        if (is_another or is_kept_out) and not self._is_looked_for(name, peer):
            return Hello.REFUSED if self._claims.refuse(said) else Hello.REFUSED_BEFORE
        if not is_kept_out:  # else keep the reservation: the deployment may be refused, and the instance not move
            self._claims.taken(name)
        self._links[name] = links
        at, present = next(((at, link) for at, link in enumerate(links) if link.peer == peer), (len(links), None))
        if present is not None and said.adds_nothing_to(present):
            return Hello.NO_NEWS
        links[at:] = [said, *links[at + 1 :]]
        self._choose(name)
        self._gone_since.pop(name, None)
        return Hello.NEWS

    def is_refused(self, name: str, peer: Peer) -> bool:
        """Whether the agent at this connection is refused, and waits until another agent with its name has gone."""
        return self._claims.is_waiting(name, peer)

    def why_refused(self, name: str) -> str:
        """Why another agent with this name is refused now."""
        if (known := self.known.get(name)) is not None:
            return f"another agent named {name} is connected, from {known.peer.place}"
        reservation = self._claims.reservation(name)
        host = reservation.host if reservation is not None else "another host"
        return f"the agent named {name} at {host} was connected a moment ago, and is waited for"

    def reservation(self, name: str) -> Reservation | None:
        """The reservation of a name whose agent has just gone, or None. Later, pass it to :meth:`end_reservation`."""
        return self._claims.reservation(name)

    def reserve_names(self) -> dict[str, Reservation]:
        """Reserve the names of configured instances that dial us and have not connected yet; by name."""
        reservations = {
            name: Reservation(str(instance.host))
            for name, instance in self.configured.items()
            if name not in self.known and instance.host != UNSPECIFIED and instance.listen_port is None
        }
        self._claims.reserve(reservations)
        return reservations

    def end_reservation(self, name: str, reservation: Reservation) -> bool:
        """End a reservation. Returns whether another agent was waiting for the name, and has it now."""
        if not self._claims.end_reservation(name, reservation) or name in self.known:
            return False
        self._choose(name)
        return name in self.known

    def refused_us(self, link: AgentLink, reason: str) -> None:
        """The agent at this link has answered its welcome with a refusal."""
        self._refusals[link.instance.name, link.peer.id] = reason

    def welcomed(self, link: AgentLink) -> None:
        """The agent at this link has answered its welcome."""
        self._refusals.pop((link.instance.name, link.peer.id), None)
        if link.peer in (present.peer for present in self._links.get(link.instance.name, ())):
            self._welcomed.add((link.instance.name, link.peer.id))

    def unwelcome(self, name: str) -> None:
        """The instance has left the cluster. If it becomes part of it again, it has to be welcomed again."""
        self._welcomed = {mark for mark in self._welcomed if mark[0] != name}

    def is_welcomed(self, link: AgentLink) -> bool:
        """Whether the agent at this link has answered its welcome."""
        return (link.instance.name, link.peer.id) in self._welcomed

    @property
    def ready(self) -> set[str]:
        """The names of configured instances that have answered the welcome on the link that is used."""
        return {name for name, link in self.known.items() if name in self.configured and self.is_welcomed(link)}

    def lost(self, peer: Peer) -> list[str]:
        """Forget a connection. Returns the names of its instances, some of which may have another connection.

        If it was the agent's last connection, the next agent that waits for the name gets it. But the name of a
        configured instance is first reserved for an agent from the same host, until :meth:`end_reservation`.
        """
        self._claims.forget(peer)
        names = [name for name, links in self._links.items() if any(link.peer == peer for link in links)]
        for name in names:
            last = self.known.get(name)
            self._links[name] = [link for link in self._links[name] if link.peer != peer]
            if not self._links[name] and last is not None and name in self.configured:
                self._claims.reserve({name: Reservation(last.peer.host, last.told_endpoint)})
            self._choose(name)
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
        for name in {*self._links, *self._claims.end_others(self.configured)}:
            self._choose(name)

    def look_for(self, instances: Iterable[Instance]) -> None:
        """Wait for these instances, and no others.

        An agent that was dialled at the address of one of them gets its name at once, even if it was refused before and
        although an agent elsewhere may have the same name. :meth:`part_namesakes` resolves this at the end.
        """
        self.sought = {instance.name: instance for instance in instances}
        for name in self.sought:
            for link in self._claims.waiting(name):
                if self._is_looked_for(name, link.peer):
                    self._claims.stop_waiting(name, link.peer)
                    self._links.setdefault(name, []).append(link)
                    self._choose(name)

    def part_namesakes(self, name: str) -> bool:
        """Let only one agent keep this name: the one at the configured address, else the first. The others wait.

        Returns:
            Whether the name now belongs to another agent than before.
        """
        links, before = self._links.get(name, []), self.known.get(name)
        holder = next(iter(self._at_its_place(name)), None) or next(filter(self._claims.may_have, links), None)
        for link in links.copy():
            if holder is None or not link.is_same_agent(holder):
                links.remove(link)
                self._welcomed.discard((name, link.peer.id))
                self._claims.refuse(link)
        self._choose(name)
        present = self.known.get(name)
        return present is not None and (before is None or not present.is_same_agent(before))

    def _at_its_place(self, name: str) -> list[AgentLink]:
        """The links of this name that were dialled at the instance's configured address."""
        instance = self.configured.get(name)
        links = self._links.get(name, [])
        return [link for link in links if instance is not None and is_dialled_at(link.peer, instance)]

    def _is_looked_for(self, name: str, peer: Peer) -> bool:
        """Whether a deployment wants the instance of this name at the address that this connection was dialled at."""
        instance = self.sought.get(name)
        return instance is not None and is_dialled_at(peer, instance)

    def reached(self, instance: Instance) -> AgentLink | None:
        """The link to an instance at the address that a configuration gives it: it may be moving there."""
        present = self.known.get(instance.name)
        configured = self.configured.get(instance.name)
        if instance.listen_port is None or configured is None or not moves(configured, instance):
            return present
        links = reversed(self._links.get(instance.name, ()))
        return next((link for link in links if self._is_at(link, instance)), None)

    def _is_at(self, link: AgentLink, instance: Instance) -> bool:
        """Whether this link leads to the instance's address. If the agent dials us, only its host is compared."""
        has_dialled_us = link.peer.dialled_for is None
        return is_dialled_at(link.peer, instance) or (has_dialled_us and link.instance.host == instance.host)

    def _choose(self, name: str) -> None:
        """Choose the link to use: the one to the configured address, else the newest, else that of a waiting agent.

        A configured instance keeps its first agent, even if a deployment waits for another one.
        """
        links = self._links.get(name, [])
        if not links and (next_agent := self._claims.next_agent(name)) is not None:
            links = self._links[name] = [next_agent]
            self._gone_since.pop(name, None)
        if not links:
            self._links.pop(name, None)
            self._went(name)
            return
        if name in self.configured:
            links = [link for link in links if link.is_same_agent(links[0])]
        self.known[name] = (self._at_its_place(name) or links)[-1]

    def _went(self, name: str) -> None:
        if self.known.pop(name, None) is not None:
            self._gone_since[name] = self._clock()
            if len(self._gone_since) > REMEMBERED:
                del self._gone_since[next(iter(self._gone_since))]

    def recall(self, gone: Mapping[str, float]) -> None:
        """Note since when instances have been gone, according to an earlier controller process."""
        self._gone_since = {name: since for name, since in gone.items() if name not in self.known} | self._gone_since

    def presence(self, name: str) -> str:
        """The instance's presence for a person, such as ``never connected`` or ``gone since 14:03`` (local time)."""
        if name in self.known:
            return "connected"
        since = self._gone_since.get(name)
        return "never connected" if since is None else f"gone since {clock_text(since, self._clock())}"

    def missing(self, instances: Iterable[Instance]) -> dict[str, str]:
        """Those of the instances that are not ready, with what is known of each, sorted by name."""
        by_name = sorted(instances, key=lambda instance: instance.name)
        return {instance.name: why for instance in by_name if (why := self._why_missing(instance))}

    def _why_missing(self, instance: Instance) -> str:
        """Why an instance is not ready; ``""`` if it is."""
        link = self.reached(instance)
        if link is not None and self.is_welcomed(link):
            return ""
        if link is not None:
            refusal = self._refusals.get((instance.name, link.peer.id))
            return f"refuses this controller: {refusal}" if refusal else "does not answer its welcome"
        if instance.name in self.known and instance.listen_port is not None:
            return f"not at {address_text(str(instance.host), instance.listen_port.number)} yet"
        return self.presence(instance.name)

    @property
    def all_ready(self) -> bool:
        """Whether every configured instance is ready."""
        return self.ready == self.configured.keys()

    def with_addresses(self, configuration: Configuration) -> Configuration:
        """A copy in which instances without an address get the one from which their agent has connected."""
        return msgspec.structs.replace(
            configuration, instances=tuple(self._with_address(instance) for instance in configuration.instances)
        )

    def _with_address(self, instance: Instance) -> Instance:
        known = self.known.get(instance.name)
        if instance.host != UNSPECIFIED or known is None:
            return instance
        return msgspec.structs.replace(instance, host=known.instance.host)
