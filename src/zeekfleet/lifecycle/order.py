"""Who starts before whom: loggers, managers, proxies, workers, others; stops go the other way.

Within a group everything happens in parallel.
"""

from __future__ import annotations

from collections.abc import Iterable

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import NodeConfig

START_ORDER = (ClusterRole.LOGGER, ClusterRole.MANAGER, ClusterRole.PROXY, ClusterRole.WORKER, ClusterRole.NONE)
"""The order of the groups; ``NONE`` stands for any other program."""

_RANKS = {role: rank for rank, role in enumerate(START_ORDER)}


def role_of(config: NodeConfig) -> ClusterRole:
    """The role that the configuration's own cluster table gives it, else ``NONE``."""
    endpoint = config.cluster.get(config.name)
    return endpoint.role if endpoint is not None else ClusterRole.NONE


def rank(config: NodeConfig) -> int:
    """The place of a node's group in the start order, from 0."""
    return _RANKS[role_of(config)]


def start_groups(configs: Iterable[NodeConfig]) -> tuple[tuple[NodeConfig, ...], ...]:
    """The nodes in the groups in which they start, sorted by name within; no empty groups."""
    groups: dict[int, list[NodeConfig]] = {}
    for config in configs:
        groups.setdefault(rank(config), []).append(config)
    return tuple(tuple(sorted(groups[key], key=lambda config: config.name)) for key in sorted(groups))


def stop_groups(configs: Iterable[NodeConfig]) -> tuple[tuple[NodeConfig, ...], ...]:
    """The nodes in the groups in which they stop."""
    return tuple(reversed(start_groups(configs)))
