"""Finds errors in a cluster configuration (docs/protocol.md, section 8).

The protocol gives the exact text of its errors. A few are our own, each for
something that could not be deployed, or not safely: names become directories and
topics, and values become arguments of processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from zeekfleet.model.addresses import address_text
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.names import name_problem
from zeekfleet.model.ranges import LARGEST_TEXTS, LONGEST_TEXT
from zeekfleet.model.texts import shown
from zeekfleet.model.types import Port
from zeekfleet.planning import node_settings

LISTENING_ROLES = frozenset({ClusterRole.MANAGER, ClusterRole.LOGGER, ClusterRole.PROXY})
"""The roles that need a listening port; workers only connect to others."""


class Sizes(msgspec.Struct, frozen=True):
    """How large a configuration may be.

    Attributes:
        nodes: how many nodes it may have.
        nodes_each: how many of them one instance may run.
    """

    nodes: int = 100_000
    nodes_each: int = 10_000


DEFAULT_SIZES = Sizes()


def validate(
    configuration: Configuration,
    *,
    controller_port: int | None,
    auto_assign_ports: bool,
    controller_name: str = "",
    sizes: Sizes = DEFAULT_SIZES,
) -> tuple[str, ...]:
    """All errors of the configuration, sorted; empty if it is valid.

    Args:
        controller_port: the port on which the controller listens for agents; None if it does not listen.
        auto_assign_ports: whether missing listening ports will be assigned.
        controller_name: the controller's name, which no node or instance may have; ``""`` if it is not known.
        sizes: how large it may be. If it is larger, nothing else is looked at.
    """
    if too_large := tuple(_excesses(configuration, sizes)):
        return too_large
    errors = [
        *_name_errors("instance", (instance.name for instance in configuration.instances)),
        *_name_errors("node", (node.name for node in configuration.nodes)),
        *_repeated_names(configuration),
        *_names_of_controller(configuration, controller_name),
        *_shared_addresses(configuration),
        *_undeclared_instances(configuration),
        *_port_conflicts(configuration, controller_port),
        *_impossible_ports(configuration),
        *(error for node in configuration.nodes for error in _impossible_values(node)),
    ]
    if not auto_assign_ports and (lacking := nodes_lacking_ports(configuration)):
        errors.append(f"Broker port auto-assignment disabled but nodes {', '.join(lacking)} lack ports")
    return tuple(sorted(errors))


def _excesses(configuration: Configuration, sizes: Sizes) -> Iterator[str]:
    if len(configuration.nodes) > sizes.nodes:
        yield f"the configuration has {len(configuration.nodes)} nodes, expected at most {sizes.nodes} (--node-limit)"
    for instance, count in sorted(Counter(node.instance for node in configuration.nodes).items()):
        if count > sizes.nodes_each:
            yield (
                f"instance '{shown(instance)}' has {count} nodes,"
                f" expected at most {sizes.nodes_each} (--node-limit-each)"
            )


def nodes_lacking_ports(configuration: Configuration) -> tuple[str, ...]:
    """Names of the nodes that need a listening port and have none, sorted."""
    return tuple(sorted(node.name for node in configuration.nodes if node.role in LISTENING_ROLES and node.p is None))


def _name_errors(kind: str, names: Iterable[str]) -> Iterator[str]:
    for name in sorted(set(names)):
        if problem := name_problem(name):
            yield f"{kind} name '{shown(name)}' {problem}"


def _repeated_names(configuration: Configuration) -> Iterator[str]:
    instances = Counter(instance.name for instance in configuration.instances)
    nodes = Counter(node.name for node in configuration.nodes)
    yield from (f"multiple instances named '{name}'" for name, count in instances.items() if count > 1)
    yield from (f"multiple nodes named '{name}'" for name, count in nodes.items() if count > 1)
    if both := sorted(instances.keys() & nodes.keys()):
        yield f"node and instance names collide: {', '.join(both)}"


def _names_of_controller(configuration: Configuration, name: str) -> Iterator[str]:
    """Processes of one host are told apart by their names, so nothing else may have the controller's name."""
    for kind, named in (("instance", configuration.instances), ("node", configuration.nodes)):
        if name and any(one.name == name for one in named):
            yield f"{kind} '{name}' has the name of the controller"


def _shared_addresses(configuration: Configuration) -> Iterator[str]:
    """Several instances with the same address: one agent listens there, and it can be only one of the instances."""
    names: dict[tuple[str, Port], list[str]] = {}
    for instance in configuration.instances:
        if instance.listen_port is not None:
            names.setdefault((str(instance.host), instance.listen_port), []).append(instance.name)
    for (host, port), sharing in sorted(names.items(), key=lambda item: item[1]):
        if len(set(sharing)) > 1:
            who = ", ".join(f"'{name}'" for name in sorted(sharing))
            address = address_text(host, port.number)
            yield f"instances {who} have the same address, {address}, where only one agent can listen"


def _undeclared_instances(configuration: Configuration) -> Iterator[str]:
    declared = {instance.name for instance in configuration.instances}
    for node in configuration.nodes:
        if node.instance not in declared:
            yield undeclared_instance(node)


def undeclared_instance(node: Node) -> str:
    """The error for a node whose instance is not in the configuration."""
    return f"node '{node.name}' has undeclared instance name '{node.instance}'"


def _port_conflicts(configuration: Configuration, controller_port: int | None) -> Iterator[str]:
    agent_ports = {(instance.name, instance.listen_port) for instance in configuration.instances}
    used: Counter[tuple[str, Port]] = Counter()
    for node in configuration.nodes:
        if node.p is None:
            continue
        if (node.instance, node.p) in agent_ports:
            yield f"node '{node.name}' port {node.p} conflicts with agent port on instance '{node.instance}'"
        if controller_port is not None and node.p == Port(controller_port):
            yield f"node '{node.name}' port {node.p} conflicts with controller port"
        used[node.instance, node.p] += 1
    for (instance, port), count in used.items():
        if count > 1:
            yield f"multiple nodes on instance '{instance}' using port {port}"


def _impossible_ports(configuration: Configuration) -> Iterator[str]:
    for what, port in _named_ports(configuration.instances, configuration.nodes):
        if port is not None and (port.number == 0 or port.protocol != "tcp"):
            yield f"{what} {port} cannot be listened on, expected 1/tcp to 65535/tcp"


def _named_ports(instances: Iterable[Instance], nodes: Iterable[Node]) -> Iterator[tuple[str, Port | None]]:
    yield from ((f"instance '{instance.name}' port", instance.listen_port) for instance in instances)
    for node in nodes:
        yield f"node '{node.name}' port", node.p
        yield f"node '{node.name}' metrics port", node.metrics_port


def _impossible_values(node: Node) -> Iterator[str]:
    """Values that no process can be given: to the kernel, every argument and variable ends at a NUL character."""
    for key in sorted(node.env):
        if not key or "=" in key:
            yield f"node '{node.name}' has a variable named '{shown(key)}', which no process can be given"
    texts = [node.interface or "", *(node.scripts or ()), *node.env.keys(), *node.env.values()]
    texts += [text for option in node.options or () for text in (option.name, option.value)]
    if any("\0" in text for text in texts):
        yield f"node '{node.name}' has a NUL character in its scripts, interface, options or variables"
    yield from _too_long(node)
    for problem in node_settings.problems(node.env):
        yield f"node '{node.name}', variable {shown(problem)}"


def _too_long(node: Node) -> Iterator[str]:
    """Values that are too long for the kernel, or for messages about the node."""
    texts = {f"variable {key}": f"{key}={value}" for key, value in node.env.items()}
    texts |= {f"script {script}": script for script in node.scripts or ()}
    texts |= {f"option {option.name}": f"{option.name}={option.value}" for option in node.options or ()}
    sizes = {what: len(text.encode(errors="surrogatepass")) for what, text in texts.items()}
    for what, size in sorted(sizes.items()):
        if size > LONGEST_TEXT:
            yield f"node '{node.name}': {shown(what)} takes {size} bytes, expected at most {LONGEST_TEXT}"
    if (total := sum(sizes.values())) > LARGEST_TEXTS and max(sizes.values()) <= LONGEST_TEXT:
        yield (
            f"node '{node.name}': its variables, scripts and options take {total} bytes,"
            f" expected at most {LARGEST_TEXTS}"
        )
