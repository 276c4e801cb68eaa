"""Would these nodes come up on this host? From what they need and what there is, to the problems.

    Needs (of a node)  +  HostFacts  ->  Problems

What a node needs is its engine's to say; the facts are gathered by ``node/checks.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

CAPTURE = "CAP_NET_RAW"
"""The capability that live traffic is read with."""

KERNEL_SOURCES = frozenset({"", "pcap", "af_packet"})
"""What may stand before ``::`` in an interface where the rest names a network device."""

PSEUDO_DEVICES = ("any", "nflog", "nfqueue", "usbmon", "bluetooth", "dbus-")
"""Beginnings of what libpcap can read from though it is no network device."""

LISTED = 20
"""How many interfaces a sentence lists at most."""


class Listener(msgspec.Struct, frozen=True):
    """A place where a node will listen: what for (``metrics port``), address (``""`` for all) and TCP port."""

    purpose: str
    host: str
    port: int


class Needs(msgspec.Struct, frozen=True):
    """What one node needs of its host.

    Attributes:
        node: its name.
        interface: what it reads traffic from, None if it opens none.
        cpus: those it is bound to, if any.
        listeners: where it will listen.
    """

    node: str
    interface: str | None = None
    cpus: frozenset[int] = frozenset()
    listeners: tuple[Listener, ...] = ()


class PortUse(msgspec.Struct, frozen=True):
    """Why a port cannot be listened on now.

    Attributes:
        reason: such as ``in use``, as part of a sentence.
        pid: the process that has it, where that can be told.
        program: that process' name.
        is_node: whether it is a node of a zeekfleet on this host.
    """

    reason: str
    pid: int | None = None
    program: str = ""
    is_node: bool = False


class HostFacts(msgspec.Struct, frozen=True):
    """What there is.

    Attributes:
        interfaces: names of the network devices.
        cpus: those, of the ones needed, that a process can be pinned to.
        capabilities: what a node's program would have, such as ``CAP_NET_RAW``.
        ports: by address and port, those of the ones needed that cannot be had.
    """

    interfaces: frozenset[str] = frozenset()
    cpus: frozenset[int] = frozenset()
    capabilities: frozenset[str] = frozenset()
    ports: Mapping[tuple[str, int], PortUse] = {}


class Held(msgspec.Struct, frozen=True):
    """Ports that are in use, and rightly so.

    Attributes:
        pids: the instance's own nodes: whatever they have, a deploy keeps or frees.
        ports: where the cluster's present nodes on this host listen, those of other instances included.
    """

    pids: frozenset[int] = frozenset()
    ports: frozenset[int] = frozenset()

    def covers(self, use: PortUse, port: int) -> bool:
        """Whether a deploy need not care about this use."""
        ours = use.pid in self.pids if use.pid is not None else False
        return ours or (port in self.ports and (use.pid is None or use.is_node))


class Problem(msgspec.Struct, frozen=True):
    """What would keep nodes from coming up; ``str()`` is one sentence for a person."""

    nodes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        names = ", ".join(f"'{name}'" for name in self.nodes)
        return f"node{'s' if len(self.nodes) > 1 else ''} {names}: {self.text}" if names else self.text


def host_problems(needs: Iterable[Needs], facts: HostFacts, held: Held) -> list[Problem]:
    """What the host lacks, nodes with the same problem together; sorted."""
    wanted = list(needs)
    found = [Problem((need.node,), text) for need in wanted for text in _problems(need, facts, held)]
    return merged([*found, *_collisions(wanted)])


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """The same problem of several nodes told once; sorted by nodes, then text."""
    nodes: dict[str, set[str]] = {}
    for problem in problems:
        nodes.setdefault(problem.text, set()).update(problem.nodes)
    together = (Problem(tuple(sorted(names)), text) for text, names in nodes.items())
    return sorted(together, key=lambda problem: (problem.nodes, problem.text))


def unavailable(needs: Iterable[Needs], facts: HostFacts, held: Held) -> list[PortUse]:
    """The uses that stand in the way of a listener."""
    uses = (
        (facts.ports.get((listener.host, listener.port)), listener.port)
        for need in needs
        for listener in need.listeners
    )
    return [use for use, port in uses if use is not None and not held.covers(use, port)]


def _problems(need: Needs, facts: HostFacts, held: Held) -> Iterator[str]:
    for cpu in sorted(need.cpus - facts.cpus):
        yield f"CPU {cpu} to pin to is offline or absent"
    device = network_device(need.interface)
    if device is not None and device not in facts.interfaces:
        known = sorted(facts.interfaces)
        more = ", …" if len(known) > LISTED else ""
        yield f"there is no interface '{device}', only {', '.join(known[:LISTED])}{more}"
    elif device is not None and CAPTURE not in facts.capabilities:
        yield f"reading from interface '{need.interface}' needs {CAPTURE}, which nodes do not have here"
    for listener in need.listeners:
        use = facts.ports.get((listener.host, listener.port))
        if use is not None and not held.covers(use, listener.port):
            yield f"{listener.purpose} {listener.port}/tcp {_use_text(use)}"


def _use_text(use: PortUse) -> str:
    if use.pid is None:
        return use.reason
    return f"{use.reason} by process {use.pid} ({use.program})"


def _collisions(needs: Iterable[Needs]) -> Iterator[Problem]:
    """Nodes that want one and the same port."""
    wanting: dict[tuple[str, int], list[str]] = {}
    for need in needs:
        for listener in need.listeners:
            wanting.setdefault((listener.host, listener.port), []).append(need.node)
    for (_, port), nodes in wanting.items():
        if len(nodes) > 1:
            names = sorted(set(nodes))
            yield Problem(tuple(names), f"port {port}/tcp would be listened on {len(nodes)} times")


def network_device(interface: str | None) -> str | None:
    """The network device that an interface such as ``af_packet::eth0`` names, None if that cannot be told."""
    if interface is None:
        return None
    source, separator, device = interface.rpartition("::")
    if not device or (separator and source not in KERNEL_SOURCES) or device.startswith(PSEUDO_DEVICES):
        return None
    return device


def held_ports(needs: Collection[Needs]) -> frozenset[int]:
    """Every port that these nodes listen on."""
    return frozenset(listener.port for need in needs for listener in need.listeners)
