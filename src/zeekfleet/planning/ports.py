"""Filling in the ports that a configuration left open (protocol section 8).

Assign listening ports first: metrics ports keep clear of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.types import Address, Port
from zeekfleet.planning.validate import LISTENING_ROLES, undeclared_instance

ROLE_ORDER = {ClusterRole.MANAGER: 0, ClusterRole.LOGGER: 1, ClusterRole.PROXY: 2, ClusterRole.WORKER: 3}
"""Who is served first; all four may export metrics."""

DEFAULT_START = 2200
DEFAULT_METRICS_START = 9000
LAST_PORT = 65535


class PortCounter:
    """Hands out ports, counting up and leaving out the taken ones.

    Args:
        start: the first port to consider.
        taken: ports that are in use already.
        purpose: what they are for, as an error would say it.
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


def assign_ports(
    configuration: Configuration, *, start: int = DEFAULT_START, reserved: Collection[int] = ()
) -> Configuration:
    """A copy in which every manager, logger and proxy has a listening port.

    Counts over the whole cluster, so that no two hosts share an assigned port.

    Args:
        configuration: with addresses filled in.
        start: the first port to assign.
        reserved: ports that are never assigned: what the controller knows to be somebody else's.

    Raises:
        ConfigurationError: the ports above ``start`` do not suffice.
    """
    taken = set(reserved)
    taken |= {instance.listen_port.number for instance in configuration.instances if instance.listen_port}
    taken |= {node.p.number for node in configuration.nodes if node.p}
    counter = PortCounter(start, taken, "listening")
    lacking = [node for node in configuration.nodes if node.p is None and node.role in LISTENING_ROLES]
    assigned = {id(node): counter.next_for(node) for node in sorted(lacking, key=_order)}
    return _with_nodes(
        configuration,
        (msgspec.structs.replace(node, p=assigned.get(id(node), node.p)) for node in configuration.nodes),
    )


def assign_metrics_ports(
    configuration: Configuration, *, start: int = DEFAULT_METRICS_START, reserved: Collection[int] = ()
) -> Configuration:
    """A copy in which every cluster node has a metrics port.

    Counts anew for each address; instances whose address is not known yet
    (0.0.0.0) count as one, since they may turn out to be one host.

    Args:
        configuration: with addresses and listening ports filled in.
        start: the first port to assign, at each address.
        reserved: ports that are never assigned, at any address.

    Raises:
        ConfigurationError: the ports above ``start`` do not suffice, or a node's instance is not declared.
    """
    addresses = {instance.name: instance.host for instance in configuration.instances}
    if errors := [undeclared_instance(node) for node in configuration.nodes if node.instance not in addresses]:
        raise ConfigurationError(sorted(errors))
    taken: dict[Address, set[int]] = {address: set(reserved) for address in addresses.values()}
    for instance in configuration.instances:
        if instance.listen_port:
            taken[instance.host].add(instance.listen_port.number)
    for node in configuration.nodes:
        taken[addresses[node.instance]] |= {port.number for port in (node.p, node.metrics_port) if port}
    counters = {address: PortCounter(start, ports, "metrics") for address, ports in taken.items()}
    lacking = [node for node in configuration.nodes if node.metrics_port is None and node.role in ROLE_ORDER]
    assigned = {id(node): counters[addresses[node.instance]].next_for(node) for node in sorted(lacking, key=_order)}
    return _with_nodes(
        configuration,
        (
            msgspec.structs.replace(node, metrics_port=assigned.get(id(node), node.metrics_port))
            for node in configuration.nodes
        ),
    )


def _order(node: Node) -> tuple[str, int, str]:
    return (node.instance, ROLE_ORDER[node.role], node.name)


def _with_nodes(configuration: Configuration, nodes: Iterable[Node]) -> Configuration:
    return msgspec.structs.replace(configuration, nodes=tuple(nodes))
