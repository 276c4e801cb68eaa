"""Would these nodes come up on this host? Compares what the nodes need with what the host has.

    Needs (of a node)  +  HostFacts  ->  Problems

Each node's engine tells the needs; ``node/checks.py`` gathers the facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

CAPTURE = "CAP_NET_RAW"
"""The capability that is needed to read live traffic."""

KERNEL_SOURCES = frozenset({"", "pcap", "af_packet"})
"""Packet sources, the part of an interface before ``::``, whose interfaces are network devices."""

PSEUDO_DEVICES = ("any", "nflog", "nfqueue", "usbmon", "bluetooth", "dbus-")
"""Prefixes of interfaces that libpcap reads from although they are not network devices."""

LISTED = 20
"""The most interfaces that one sentence lists."""


class Listener(msgspec.Struct, frozen=True):
    """Where a node will listen: the purpose (``metrics port``), the address (``""`` for all) and the TCP port."""

    purpose: str
    host: str
    port: int


class Needs(msgspec.Struct, frozen=True):
    """What one node needs of its host.

    Attributes:
        node: the node's name.
        interface: the interface that it reads traffic from; None if it opens none.
        cpus: the CPUs that it is bound to; empty if it is not bound.
        listeners: where it will listen.
    """

    node: str
    interface: str | None = None
    cpus: frozenset[int] = frozenset()
    listeners: tuple[Listener, ...] = ()


class PortUse(msgspec.Struct, frozen=True):
    """Why a port cannot be listened on now.

    Attributes:
        reason: part of a sentence, such as ``in use``.
        pid: the process that listens on it; None if this process may not see that.
        program: that process' name.
        is_node: whether that process is a cluster node of any zeekfleet on this host.
    """

    reason: str
    pid: int | None = None
    program: str = ""
    is_node: bool = False


class HostFacts(msgspec.Struct, frozen=True):
    """What the host has.

    Attributes:
        interfaces: the names of its network devices.
        cpus: the needed CPUs that a process can be pinned to.
        capabilities: the capabilities that a node's program would have, such as ``CAP_NET_RAW``.
        ports: the needed ports that cannot be listened on, by address and port.
    """

    interfaces: frozenset[str] = frozenset()
    cpus: frozenset[int] = frozenset()
    capabilities: frozenset[str] = frozenset()
    ports: Mapping[tuple[str, int], PortUse] = {}


class OwnPorts(msgspec.Struct, frozen=True):
    """The ports that the cluster's own nodes use now. They are no obstacle: a deployment keeps or frees them.

    Attributes:
        pids: the processes of the instance's own nodes.
        ports: where the cluster's present nodes on this host listen, including those of other instances.
    """

    pids: frozenset[int] = frozenset()
    ports: frozenset[int] = frozenset()

    def covers(self, use: PortUse, port: int) -> bool:
        """Whether a deployment can ignore this use of the port."""
        ours = use.pid in self.pids if use.pid is not None else False
        return ours or (port in self.ports and (use.pid is None or use.is_node))


class Problem(msgspec.Struct, frozen=True):
    """What would keep nodes from coming up; ``str()`` is one sentence for a person."""

    nodes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        names = ", ".join(f"'{name}'" for name in self.nodes)
        return f"node{'s' if len(self.nodes) > 1 else ''} {names}: {self.text}" if names else self.text


def host_problems(needs: Iterable[Needs], facts: HostFacts, own: OwnPorts) -> list[Problem]:
    """What the host lacks, sorted; one problem for all nodes that share it."""
    wanted = list(needs)
    found = [Problem((need.node,), text) for need in wanted for text in _problems(need, facts, own)]
    return merged([*found, *_collisions(wanted)])


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """Join problems with the same text into one that names all their nodes; sorted by nodes, then text."""
    nodes: dict[str, set[str]] = {}
    for problem in problems:
        nodes.setdefault(problem.text, set()).update(problem.nodes)
    together = (Problem(tuple(sorted(names)), text) for text, names in nodes.items())
    return sorted(together, key=lambda problem: (problem.nodes, problem.text))


def unavailable(needs: Iterable[Needs], facts: HostFacts, own: OwnPorts) -> list[PortUse]:
    """The uses of ports that would keep a node from listening."""
    uses = (
        (facts.ports.get((listener.host, listener.port)), listener.port)
        for need in needs
        for listener in need.listeners
    )
    return [use for use, port in uses if use is not None and not own.covers(use, port)]


def _problems(need: Needs, facts: HostFacts, own: OwnPorts) -> Iterator[str]:
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
        if use is not None and not own.covers(use, listener.port):
            yield f"{listener.purpose} {listener.port}/tcp {_use_text(use)}"


def _use_text(use: PortUse) -> str:
    if use.pid is None:
        return use.reason
    return f"{use.reason} by process {use.pid} ({use.program})"


def _collisions(needs: Iterable[Needs]) -> Iterator[Problem]:
    """Nodes that would listen on the same port of the same address."""
    wanting: dict[tuple[str, int], list[str]] = {}
    for need in needs:
        for listener in need.listeners:
            wanting.setdefault((listener.host, listener.port), []).append(need.node)
    for (_, port), nodes in wanting.items():
        if len(nodes) > 1:
            names = sorted(set(nodes))
            yield Problem(tuple(names), f"port {port}/tcp would be listened on {len(nodes)} times")


def network_device(interface: str | None) -> str | None:
    """The network device of an interface such as ``af_packet::eth0``; None if it is not a device, or is unknown."""
    if interface is None:
        return None
    source, separator, device = interface.rpartition("::")
    if not device or (separator and source not in KERNEL_SOURCES) or device.startswith(PSEUDO_DEVICES):
        return None
    return device


def listening_ports(needs: Collection[Needs]) -> frozenset[int]:
    """Every port that these nodes listen on."""
    return frozenset(listener.port for need in needs for listener in need.listeners)
