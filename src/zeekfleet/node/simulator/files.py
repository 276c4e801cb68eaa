"""The files that the engine puts into a simulated node's directory."""

from __future__ import annotations

import functools

import msgspec

from zeekfleet.broker.generations import SECOND
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.node.simulator.configuration import CLUSTER_FILE, CONFIG_FILE
from zeekfleet.node.simulator.zeek_json import mapping, port, string

ROWS_KEPT = 4096
"""How many rows of cluster tables are cached as text: the tables of one cluster's nodes have most rows in common."""


def files(config: NodeConfig) -> dict[str, str]:
    """The files that the node's directory must have: file name to content."""
    own_file = SECOND.codec.to_json(_without_others(config), NodeConfig) + "\n"
    return {CONFIG_FILE: own_file, CLUSTER_FILE: cluster_nodes(config)}


def cluster_nodes(config: NodeConfig) -> str:
    """The value of ``Cluster::nodes``."""
    manager = min((name for name, row in config.cluster.items() if row.role is ClusterRole.MANAGER), default=None)
    return mapping({name: _row(name, row, manager) for name, row in sorted(config.cluster.items())})


def _without_others(config: NodeConfig) -> NodeConfig:
    """The configuration, with only those rows of the cluster table that the node itself needs.

    The whole table is in another file, as ``Cluster::nodes``: if each of a thousand nodes had a thousand rows in
    memory, they would take gigabytes.
    """
    logger = next((name for name, row in config.cluster.items() if row.role is ClusterRole.LOGGER), None)
    kept = {name: row for name, row in config.cluster.items() if name in (config.name, logger)}
    return msgspec.structs.replace(config, cluster=kept)


@functools.lru_cache(maxsize=ROWS_KEPT)
def _row(name: str, row: ClusterEndpoint, manager: str | None) -> str:
    return mapping(
        {
            "node_type": string(f"Cluster::{row.role.name}"),
            "ip": string(row.host),
            "zone_id": string(""),
            "p": port(row.p.number, row.p.protocol),
            "manager": string(manager) if manager is not None and name != manager else None,
            "metrics_port": port(row.metrics_port.number, row.metrics_port.protocol) if row.metrics_port else None,
        }
    )
