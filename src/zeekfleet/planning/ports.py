"""Assigns ports to nodes whose configuration has none (docs/protocol.md, section 8).

Assign listening ports first: metrics ports must differ from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.types import UNSPECIFIED, Address, Port
from zeekfleet.planning.validate import LISTENING_ROLES, undeclared_instance

ROLE_ORDER = {ClusterRole.MANAGER: 0, ClusterRole.LOGGER: 1, ClusterRole.PROXY: 2, ClusterRole.WORKER: 3}
"""The order in which roles get ports. Nodes of all four roles get metrics ports."""

DEFAULT_START = 2200
DEFAULT_METRICS_START = 9000
LAST_PORT = 65535
NOTHING: Final[Mapping[str, Collection[int]]] = {}


class PortCounter:
    """Assigns ports in ascending order, without those that are taken.

    Args:
        start: the first port to assign.
        taken: ports that are in use already.
        purpose: what the ports are for, as a word in an error.
    """

    def __init__(self, start: int, taken: Iterable[int], purpose: str) -> None:
        self._start = start
        self._next = start
        self._taken = set(taken)
        self._purpose = purpose

    def next_for(self, node: Node) -> Port:
        """The next free port.

        Raises:
            ConfigurationError: there is none left.
        """
        while self._next in self._taken:
            self._next += 1
        if self._next > LAST_PORT:
            raise ConfigurationError(
                f"no {self._purpose} port left for node '{node.name}' between {self._start} and {LAST_PORT}"
            )
        self._next += 1
        return Port(self._next - 1)


def lacking_ports(configuration: Configuration) -> frozenset[str]:
    """The names of instances with a node to which a port could be assigned."""
    return frozenset(
        node.instance
        for node in configuration.nodes
        if (node.p is None and node.role in LISTENING_ROLES) or (node.metrics_port is None and node.role in ROLE_ORDER)
    )


def assign_ports(
    configuration: Configuration,
    *,
    start: int = DEFAULT_START,
    reserved: Collection[int] = (),
    taken: Mapping[str, Collection[int]] = NOTHING,
    former: Configuration | None = None,
) -> Configuration:
    """A copy in which every manager, logger and proxy has a listening port.

    Every assigned port is unique in the whole cluster. A node that has the same instance and role in the former
    configuration keeps its port, unless something else needs that port.

    Args:
        configuration: with addresses filled in.
        start: the first port to assign.
        reserved: ports that are never assigned.
        taken: by instance, the ports that other programs use on its host.
        former: the configuration that runs now.

    Raises:
        ConfigurationError: the ports above ``start`` do not suffice.
    """
    used = set(reserved)
    used |= {instance.listen_port.number for instance in configuration.instances if instance.listen_port}
    used |= {node.p.number for node in configuration.nodes if node.p}
    lacking = [node for node in configuration.nodes if node.p is None and node.role in LISTENING_ROLES]
    known = {_identity(node): node.p for node in (former.nodes if former else ()) if node.p}
    assigned: dict[int, Port] = {}
    for node in sorted(lacking, key=_order):
        port = known.get(_identity(node))
        if port is not None and port.number not in used and port.number not in taken.get(node.instance, ()):
            assigned[id(node)] = port
            used.add(port.number)
    for ports in taken.values():
        used |= set(ports)
    counter = PortCounter(start, used, "listening")
    for node in sorted(lacking, key=_order):
        if id(node) not in assigned:
            assigned[id(node)] = counter.next_for(node)
    return _with_nodes(
        configuration,
        (msgspec.structs.replace(node, p=assigned.get(id(node), node.p)) for node in configuration.nodes),
    )


def assign_metrics_ports(
    configuration: Configuration,
    *,
    start: int = DEFAULT_METRICS_START,
    reserved: Collection[int] = (),
    taken: Mapping[str, Collection[int]] = NOTHING,
    former: Configuration | None = None,
) -> Configuration:
    """A copy in which every cluster node has a metrics port.

    Ports are unique for each address. Instances whose address is not known yet (0.0.0.0) may be on any host, even on
    the same one; so they share one sequence of ports, and get no port that is used at any address. A node that has
    the same instance and role in the former configuration keeps its port, unless something else needs that port.

    Args:
        configuration: with addresses and listening ports filled in.
        start: the first port to assign at each address.
        reserved: ports that are never assigned at any address.
        taken: by instance, the ports that other programs use on its host.
        former: the configuration that runs now.

    Raises:
        ConfigurationError: the ports above ``start`` do not suffice, or a node's instance is not declared.
    """
    addresses = {instance.name: instance.host for instance in configuration.instances}
    if errors := [undeclared_instance(node) for node in configuration.nodes if node.instance not in addresses]:
        raise ConfigurationError(sorted(errors))
    used: dict[Address, set[int]] = {address: set(reserved) for address in addresses.values()}
    for instance in configuration.instances:
        used[instance.host].update(taken.get(instance.name, ()))
        if instance.listen_port:
            used[instance.host].add(instance.listen_port.number)
    for node in configuration.nodes:
        used[addresses[node.instance]] |= {port.number for port in (node.p, node.metrics_port) if port}
    lacking = [node for node in configuration.nodes if node.metrics_port is None and node.role in ROLE_ORDER]
    known = {_identity(node): node.metrics_port for node in (former.nodes if former else ()) if node.metrics_port}
    assigned: dict[int, Port] = {}
    for node in sorted(lacking, key=_order):
        port, here = known.get(_identity(node)), used[addresses[node.instance]]
        if port is not None and port.number not in here:
            assigned[id(node)] = port
            here.add(port.number)
    counters = {address: PortCounter(start, ports, "metrics") for address, ports in used.items()}
    open_ = [node for node in sorted(lacking, key=_order) if id(node) not in assigned]
    for node in open_:
        address = addresses[node.instance]
        if address != UNSPECIFIED:
            assigned[id(node)] = port = counters[address].next_for(node)
            used[address].add(port.number)
    anywhere = PortCounter(start, set().union(*used.values()), "metrics")
    for node in open_:
        if addresses[node.instance] == UNSPECIFIED:
            assigned[id(node)] = anywhere.next_for(node)
    return _with_nodes(
        configuration,
        (
            msgspec.structs.replace(node, metrics_port=assigned.get(id(node), node.metrics_port))
            for node in configuration.nodes
        ),
    )


def _identity(node: Node) -> tuple[str, str, ClusterRole]:
    return (node.instance, node.name, node.role)


def _order(node: Node) -> tuple[str, int, str]:
    return (node.instance, ROLE_ORDER[node.role], node.name)


def _with_nodes(configuration: Configuration, nodes: Iterable[Node]) -> Configuration:
    return msgspec.structs.replace(configuration, nodes=tuple(nodes))
