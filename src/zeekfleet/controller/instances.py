"""Which instances there are, which have said hello, which are ready: pure bookkeeping (protocol section 8)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from zeekfleet.broker.generations import FIRST, Generation
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import UNSPECIFIED, Address, Port
from zeekfleet.transport.endpoint import Peer

REMEMBERED = 10_000
"""Instances that are gone and remembered; beyond it the one that went first is forgotten."""


class Known(msgspec.Struct, frozen=True):
    """An instance that has said hello.

    Attributes:
        instance: its name, and the address and port as the controller sees them.
        peer: the connection it said hello on.
        generation: whose names it speaks.
    """

    instance: Instance
    peer: Peer
    generation: Generation


class Changes(msgspec.Struct, frozen=True):
    """What a new configuration means for the instances."""

    drop: tuple[Instance, ...]
    add: tuple[Instance, ...]


class Instances:
    """The controller's view of its instances.

    Attributes:
        configured: those of the current configuration, by name.
        known: those that said hello and are still connected, by name.
        ready: names of configured ones that answered the welcome.

    Args:
        clock: the time, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.configured: dict[str, Instance] = {}
        self.known: dict[str, Known] = {}
        self.ready: set[str] = set()
        self._abilities: dict[str, tuple[Peer, frozenset[str]]] = {}
        self._gone_since: dict[str, float] = {}
        self._clock = clock

    def told_its_capabilities(self, name: str, peer: Peer, capabilities: frozenset[str]) -> None:
        """Note what a known instance's agent can do beyond the protocol."""
        present = self.known.get(name)
        if present is not None and present.peer == peer:
            self._abilities[name] = (peer, capabilities)

    def can(self, name: str, capability: str) -> bool:
        """Whether the instance is known, and its agent has told that it can do this."""
        present = self.known.get(name)
        peer, capabilities = self._abilities.get(name, (None, frozenset()))
        return present is not None and peer == present.peer and capability in capabilities

    def hello(self, name: str, peer: Peer, connecting: bool, generation: Generation) -> bool:
        """Note a hello; whether it adds anything (an agent says hello in both generations' names)."""
        present = self.known.get(name)
        if generation is FIRST and present is not None and present.peer == peer and present.generation is not FIRST:
            return False
        self.known[name] = Known(
            Instance(
                name,
                Address(peer.host) if not peer.host.startswith("unix:") else UNSPECIFIED,
                Port(peer.port) if not connecting and peer.dialled else None,
            ),
            peer,
            generation,
        )
        self._gone_since.pop(name, None)
        if present is not None and present.peer != peer:
            self.ready.discard(name)
        return True

    def lost(self, peer: Peer) -> list[str]:
        """Forget who was known by this connection; their names."""
        names = [name for name, known in self.known.items() if known.peer == peer]
        for name in names:
            self.forget(name)
        return names

    def forget(self, name: str) -> None:
        """The instance is neither known nor ready."""
        if self.known.pop(name, None) is not None:
            self._gone_since[name] = self._clock()
            if len(self._gone_since) > REMEMBERED:
                del self._gone_since[next(iter(self._gone_since))]
        self._abilities.pop(name, None)
        self.ready.discard(name)

    def presence(self, name: str) -> str:
        """Such as ``connected``, ``never connected`` or ``gone since 14:03``, in this host's time."""
        if name in self.known:
            return "connected"
        since = self._gone_since.get(name)
        return "never connected" if since is None else f"gone since {_clock_text(since, self._clock())}"

    @property
    def all_ready(self) -> bool:
        """Whether every configured instance is ready."""
        return self.ready == self.configured.keys()

    def changes(self, configuration: Configuration) -> Changes:
        """Who leaves and who comes; one whose host or port changed does both."""
        wanted = {instance.name: instance for instance in configuration.instances}
        moved = {name for name, instance in wanted.items() if self._moved(instance)}
        drop = [instance for name, instance in self.configured.items() if name not in wanted or name in moved]
        add = [instance for name, instance in wanted.items() if name not in self.configured or name in moved]
        return Changes(_by_name(drop), _by_name(add))

    def _moved(self, instance: Instance) -> bool:
        present = self.configured.get(instance.name)
        if present is None:
            return False
        moved_host = instance.host not in (UNSPECIFIED, present.host) and present.host != UNSPECIFIED
        return moved_host or instance.listen_port != present.listen_port

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


def _clock_text(moment: float, now: float) -> str:
    """The time of day, with the date if that is not today's."""
    then = time.localtime(moment)
    today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", then)


def _by_name(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    return tuple(sorted(instances, key=lambda instance: instance.name))
