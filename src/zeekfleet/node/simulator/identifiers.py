"""The simulated node's global identifiers, by name, as JSON text."""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec

from zeekfleet import __version__
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.node.simulator import options, zeek_json
from zeekfleet.node.simulator.zeek_json import boolean, interval, mapping, sequence, string

Text = str | None | Callable[[], str | None]
"""JSON text, at once or when asked for; None is declared but without a value."""

Identifiers = dict[str, tuple[str, Text]]
"""Name to kind and text."""

MISSING_PEERS = "Zeekfleet::missing_peers"
"""What a simulated node is told to be cut off from."""

NOT_OPTIONS = frozenset(
    {
        "bits_per_uid",
        "ignore_checksums",
        "interfaces",
        "peer_description",
        "Cluster::manager_is_logger",
        "Cluster::node",
        "Cluster::nodes",
        "Log::default_rotation_dir",
        "Log::default_rotation_interval",
        "Log::default_writer",
        "Log::enable_local_logging",
        "Log::enable_remote_logging",
        "LogAscii::use_json",
        "Notice::mail_dest",
        "Pcap::snaplen",
        "Telemetry::metrics_address",
        "Telemetry::metrics_port",
        "Version::info",
        "Zeekfleet::simulated",
        "Zeekfleet::without_value",
    }
)
"""Names that a running Zeek does not let anybody change."""

ROWS_KEPT = 4096
"""How many rows of clusters are remembered as text: nodes of one cluster differ in few of theirs."""

PRIVATE_NETS = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")


def identifiers(
    config: NodeConfig, cluster_nodes: Callable[[], str | None] | None = None, missing_peers: str = ""
) -> Identifiers:
    """What ``get_id_value`` knows of a node with this configuration.

    Options among the node's scripts (``Name::option=value``) give values to known
    identifiers and make new ones, in the order in which Zeek would take them.

    Args:
        config: the configuration.
        cluster_nodes: gives the text of ``Cluster::nodes`` where the configuration does not hold the whole cluster.
        missing_peers: names of nodes that it is not connected to, or ``all``; an option, which can be changed.

    Raises:
        TypeClashError: an option's value is not of the identifier's type; the text is Zeek's.
    """
    table = _core(config) | _cluster(config)
    table[MISSING_PEERS] = ("string", string(missing_peers))
    table["Cluster::nodes"] = ("table", cluster_nodes or cluster_nodes_text(config))
    if not config.bare_mode:
        table |= _base(config)
    for script in (*config.addl_base_scripts, *config.addl_user_scripts):
        option = options.split(script)
        if option:
            _assign(table, *option)
    return table


def _assign(table: Identifiers, name: str, text: str) -> None:
    kind = table[name][0] if name in table else None
    try:
        table[name] = options.render(text, kind)
    except options.TypeClashError:
        raise options.TypeClashError(f"type clash in assignment ({name} = {text})") from None


def _core(config: NodeConfig) -> Identifiers:
    return {
        "bits_per_uid": ("count", "96"),
        "ignore_checksums": ("bool", boolean(False)),
        "interfaces": ("string", string(config.interface or "")),
        "peer_description": ("string", string(config.name)),
        "Version::info": ("record", mapping({"version_string": string(f"simulated by zeekfleet {__version__}")})),
        "Zeekfleet::simulated": ("bool", boolean(True)),
        "Zeekfleet::without_value": ("string", None),
    }


def _cluster(config: NodeConfig) -> Identifiers:
    return {
        "Cluster::node": ("string", string(config.name if config.name in config.cluster else "")),
        "Cluster::manager_is_logger": ("bool", boolean(not has_logger(config))),
    }


def cluster_nodes_text(config: NodeConfig) -> str:
    """The value of ``Cluster::nodes``."""
    manager = min((name for name, row in config.cluster.items() if row.role is ClusterRole.MANAGER), default=None)
    return mapping({name: _row(name, row, manager) for name, row in sorted(config.cluster.items())})


def without_others(config: NodeConfig) -> NodeConfig:
    """The configuration with no more of the cluster than :func:`identifiers` needs beside ``Cluster::nodes``.

    A thousand nodes that each hold a thousand rows would take gigabytes.
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
            "p": zeek_json.port(row.p),
            "manager": string(manager) if manager is not None and name != manager else None,
            "metrics_port": zeek_json.port(row.metrics_port) if row.metrics_port else None,
        }
    )


def _base(config: NodeConfig) -> Identifiers:
    own = config.cluster.get(config.name)
    role = own.role if own else ClusterRole.NONE
    logs_here = role in (ClusterRole.NONE, ClusterRole.LOGGER)
    if role is ClusterRole.MANAGER:
        logs_here = not has_logger(config)
    return {
        "Log::default_rotation_dir": ("string", string("")),
        "Log::default_rotation_interval": ("interval", interval(_rotation(role))),
        "Log::default_writer": ("enum", string("Log::WRITER_ASCII")),
        "Log::enable_local_logging": ("bool", boolean(logs_here)),
        "Log::enable_remote_logging": ("bool", boolean(not logs_here)),
        "LogAscii::use_json": ("bool", boolean(False)),
        "Notice::mail_dest": ("string", string("")),
        "Pcap::snaplen": ("count", "9216"),
        "Site::local_nets": ("set", sequence(string(net) for net in PRIVATE_NETS)),
        "Site::local_zones": ("set", sequence(())),
        "Telemetry::metrics_address": ("string", string("127.0.0.1" if own and own.metrics_port else "")),
        "Telemetry::metrics_port": ("port", zeek_json.port(own.metrics_port if own else None)),
    }


def has_logger(config: NodeConfig) -> bool:
    """Whether the cluster has a logger of its own."""
    return any(row.role is ClusterRole.LOGGER for row in config.cluster.values())


def _rotation(role: ClusterRole) -> float:
    match role:
        case ClusterRole.NONE:
            return 0.0
        case ClusterRole.LOGGER | ClusterRole.MANAGER:
            return 3600.0
        case _:
            return 86400.0
