"""Makes the launch configuration of each node from the cluster's configuration. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath

from zeekfleet.lifecycle.cluster_view import view
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.names import NODES, name_problem
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, UNSPECIFIED
from zeekfleet.model.variables import MANAGEMENT_NODE, PCAP_FILE


def nodes_of(configuration: Configuration, instance: str) -> dict[str, Node]:
    """The instance's nodes by name, sorted."""
    own = (node for node in configuration.nodes if node.instance == instance)
    return {node.name: node for node in sorted(own, key=lambda node: node.name)}


def impossible_names(names: Iterable[str], running: Collection[str], management: Collection[str]) -> dict[str, str]:
    """The nodes that cannot be created because of their names, each with the reason.

    Args:
        names: the names of the nodes that should run.
        running: the nodes that the supervisor has; their names have been accepted before.
        management: the names of the supervisor's other processes, agents and controllers.
    """
    problems: dict[str, str] = {}
    for name in names:
        if name in management:
            problems[name] = "its name is that of an agent or controller on this host"
        elif name not in running and (problem := name_problem(name)):
            problems[name] = f"its name {problem}"
    return problems


def cluster_table(configuration: Configuration) -> dict[str, ClusterEndpoint]:
    """The layout of the whole cluster, by node name. Each node is given the part that it needs."""
    hosts = {instance.name: instance.host for instance in configuration.instances}
    return {
        node.name: ClusterEndpoint(
            role=node.role,
            host=hosts.get(node.instance, UNSPECIFIED),
            p=node.p or NO_PORT,
            interface=node.interface,
            pcap_file=node.env.get(PCAP_FILE),
            metrics_port=node.metrics_port,
        )
        for node in sorted(configuration.nodes, key=lambda node: node.name)
    }


def node_configs(
    configuration: Configuration, instance: str, state_directory: PurePath, links: Mapping[str, Mapping[str, str]]
) -> dict[str, NodeConfig]:
    """The launch configurations of the instance's nodes, by name.

    Args:
        configuration: with addresses and ports filled in.
        instance: the instance's name.
        state_directory: the state directory; a node's directory is ``nodes/<name>`` below it.
        links: by node, the variables by which it and the agent find each other.
    """
    cluster = cluster_table(configuration)
    return {
        name: NodeConfig(
            name=name,
            interface=node.interface,
            pcap_file=node.env.get(PCAP_FILE),
            directory=str(state_directory / NODES / name),
            stdout_file="stdout",
            stderr_file="stderr",
            addl_user_scripts=(*(node.scripts or ()), *_option_arguments(node)),
            env={**_own_variables(node), **links.get(name, {})},
            cpu_affinity=node.cpu_affinity,
            cluster=view(name, cluster),
        )
        for name, node in nodes_of(configuration, instance).items()
    }


def _own_variables(node: Node) -> dict[str, str]:
    """The node's variables, without the one that marks agents and controllers: a node must not look like one."""
    return {key: value for key, value in node.env.items() if key != MANAGEMENT_NODE}


def _option_arguments(node: Node) -> list[str]:
    """The node's options as ``Name=value``, which Zeek accepts among its scripts."""
    return sorted(f"{option.name}={option.value}" for option in node.options or ())


def node_from_config(instance: str, config: NodeConfig) -> Node:
    """A node as far as its launch configuration tells it. A later deployment replaces it."""
    endpoint = config.cluster.get(config.name)
    listens = endpoint is not None and endpoint.p != NO_PORT
    return Node(
        config.name,
        instance,
        endpoint.role if endpoint else ClusterRole.NONE,
        State.PENDING,
        p=endpoint.p if endpoint and listens else None,
        scripts=config.addl_user_scripts,
        interface=config.interface,
        cpu_affinity=config.cpu_affinity,
        env=config.env,
        metrics_port=endpoint.metrics_port if endpoint else None,
    )
