"""What a node must know about the other nodes of its cluster, and which of them it must be connected to.

A Zeek needs the name, role and host of every node. It also needs the ports of the nodes that it connects to (Zeek's
``frameworks/cluster/backend/broker/main.zeek``; with ZeroMQ fewer), and the manager needs all metrics ports for its
``/services.json``. No node needs to know the interface or the trace of another one.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint
from zeekfleet.model.types import NO_PORT

_LOGGER, _MANAGER, _PROXY, _WORKER = ClusterRole.LOGGER, ClusterRole.MANAGER, ClusterRole.PROXY, ClusterRole.WORKER

CONNECTS_TO: Mapping[ClusterRole, frozenset[ClusterRole]] = {
    _LOGGER: frozenset(),
    _MANAGER: frozenset({_LOGGER}),
    _PROXY: frozenset({_LOGGER, _MANAGER}),
    _WORKER: frozenset({_LOGGER, _MANAGER, _PROXY}),
}
"""For each role, the roles of the nodes that it connects to. A node without a role may connect to all."""

SOME_TRACE = ""
"""Replaces the path of another node's trace. All nodes need to know whether there is a trace, but not which one."""


REQUIRED_PEER_ROLES = frozenset({_LOGGER, _MANAGER, _PROXY})
"""The roles of nodes to which all nodes of other roles must be connected."""


def required_peers(name: str, cluster: Mapping[str, ClusterEndpoint]) -> frozenset[str]:
    """The nodes to which the named node must be connected; ``zeekfleet-peers.zeek`` has the same rule."""
    own = cluster.get(name)
    if own is None:
        return frozenset()
    return frozenset(
        other for other, row in cluster.items() if row.role in REQUIRED_PEER_ROLES and row.role is not own.role
    )


def view(name: str, cluster: Mapping[str, ClusterEndpoint]) -> dict[str, ClusterEndpoint]:
    """The cluster's layout, reduced to what the named node needs.

    Its own row keeps everything but interface and trace, which stand in the node's configuration.
    """
    own = cluster.get(name)
    role = own.role if own is not None else ClusterRole.NONE
    dialled = CONNECTS_TO.get(role, frozenset(ClusterRole))
    knows_metrics = role is ClusterRole.MANAGER

    def needed(other: str, row: ClusterEndpoint) -> ClusterEndpoint:
        mine = other == name
        return ClusterEndpoint(
            role=row.role,
            host=row.host,
            p=row.p if mine or row.role in dialled else NO_PORT,
            pcap_file=None if row.pcap_file is None else SOME_TRACE,
            metrics_port=row.metrics_port if mine or knows_metrics else None,
        )

    return {other: needed(other, row) for other, row in cluster.items()}


def without_details(row: ClusterEndpoint) -> ClusterEndpoint:
    """The row, reduced to what every node must know about every other node."""
    return msgspec.structs.replace(row, p=NO_PORT, metrics_port=None)
