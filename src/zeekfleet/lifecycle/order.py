"""The order of starts: loggers, managers, proxies, workers, others. Nodes stop in the reverse order.

The nodes of one group start and stop in parallel.
"""

from __future__ import annotations

from collections.abc import Iterable

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import NodeConfig

START_ORDER = (ClusterRole.LOGGER, ClusterRole.MANAGER, ClusterRole.PROXY, ClusterRole.WORKER, ClusterRole.NONE)
"""The groups in the order in which they start; ``NONE`` stands for any other program."""

_RANKS = {role: rank for rank, role in enumerate(START_ORDER)}


def role_of(config: NodeConfig) -> ClusterRole:
    """The node's role in its own cluster table; ``NONE`` if it is not listed there."""
    endpoint = config.cluster.get(config.name)
    return endpoint.role if endpoint is not None else ClusterRole.NONE


def rank(config: NodeConfig) -> int:
    """The place of a node's group in the start order, from 0."""
    return _RANKS[role_of(config)]


def start_groups(configs: Iterable[NodeConfig]) -> tuple[tuple[NodeConfig, ...], ...]:
    """The nodes, grouped in the order in which they start; sorted by name within a group, without empty groups."""
    groups: dict[int, list[NodeConfig]] = {}
    for config in configs:
        groups.setdefault(rank(config), []).append(config)
    return tuple(tuple(sorted(groups[key], key=lambda config: config.name)) for key in sorted(groups))


def stop_groups(configs: Iterable[NodeConfig]) -> tuple[tuple[NodeConfig, ...], ...]:
    """The nodes, grouped in the order in which they stop."""
    return tuple(reversed(start_groups(configs)))
