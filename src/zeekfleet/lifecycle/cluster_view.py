"""What one node of a cluster must know of the others, and to whom it must be connected: by role, pure.

A Zeek is told which nodes there are, what part each has, and on which host. Beyond that it needs the ports of those
that it connects to (Zeek's ``frameworks/cluster/backend/broker/main.zeek``; with ZeroMQ fewer), and the manager the
metrics ports of all, for its ``/services.json``. What others read their traffic from is nobody's business but theirs.
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
"""By role, the roles whose ports a node dials. A node of no role may dial anybody."""

SOME_TRACE = ""
"""Stands for the trace that another node reads: that there is one changes how all pass on logs, its path does not."""


MUST_BE_SEEN = frozenset({_LOGGER, _MANAGER, _PROXY})
"""The roles of nodes that all others must be connected to, but for those of the same role."""


def must_see(name: str, cluster: Mapping[str, ClusterEndpoint]) -> frozenset[str]:
    """The nodes that the one of this name must be connected to; ``zeekfleet-peers.zeek`` has the same rule."""
    own = cluster.get(name)
    if own is None:
        return frozenset()
    return frozenset(other for other, row in cluster.items() if row.role in MUST_BE_SEEN and row.role is not own.role)


def view(name: str, cluster: Mapping[str, ClusterEndpoint]) -> dict[str, ClusterEndpoint]:
    """The cluster's layout as the node of this name needs it.

    Its own row lacks only what the node's configuration says itself (interface and trace).
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
    """What every node must know of every other one."""
    return msgspec.structs.replace(row, p=NO_PORT, metrics_port=None)
