"""The simulated node's global identifiers, by name, as JSON text; imported with the first request for one."""

from __future__ import annotations

from collections.abc import Callable

from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.node.simulator import options, zeek_json
from zeekfleet.node.simulator.configuration import Configuration
from zeekfleet.node.simulator.zeek_json import boolean, interval, mapping, sequence, string
from zeekfleet.version import __version__

Text = str | None | Callable[[], str | None]
"""JSON text, or a function that returns it; None for an identifier that is declared but has no value."""

Identifiers = dict[str, tuple[str, Text]]
"""The kind and the text of each identifier, by name."""

MISSING_PEERS = "Zeekfleet::missing_peers"
"""The identifier that lists the nodes to which a simulated node claims not to be connected."""

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
"""Identifiers that cannot be changed while Zeek runs."""

PRIVATE_NETS = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")


def identifiers(config: Configuration, cluster_file: str | None = None, missing_peers: str = "") -> Identifiers:
    """The identifiers that ``get_id_value`` can read from a node with this configuration.

    Options among the node's scripts (``Name::option=value``) give values to known
    identifiers and make new ones, in the order in which Zeek would process them.

    Args:
        config: the configuration.
        cluster_file: the path of the text of ``Cluster::nodes``; None if the node is not in a cluster.
        missing_peers: names of nodes that it is not connected to, or ``all``; an option, which can be changed.

    Raises:
        TypeClashError: an option's value is not of the identifier's type; has Zeek's error text.
    """
    table = _core(config) | _cluster(config)
    table[MISSING_PEERS] = ("string", string(missing_peers))
    table["Cluster::nodes"] = ("table", "{}" if cluster_file is None else lambda: _read(cluster_file))
    if not config.bare_mode:
        table |= _base(config)
    for script in config.scripts:
        option = options.split(script)
        if option:
            _assign(table, *option)
    return table


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except (OSError, UnicodeError):
        return None


def _assign(table: Identifiers, name: str, text: str) -> None:
    kind = table[name][0] if name in table else None
    try:
        table[name] = options.render(text, kind)
    except options.TypeClashError:
        raise options.TypeClashError(f"type clash in assignment ({name} = {text})") from None


def _core(config: Configuration) -> Identifiers:
    return {
        "bits_per_uid": ("count", "96"),
        "ignore_checksums": ("bool", boolean(False)),
        "interfaces": ("string", string(config.interface or "")),
        "peer_description": ("string", string(config.name)),
        "Version::info": ("record", mapping({"version_string": string(f"simulated by zeekfleet {__version__}")})),
        "Zeekfleet::simulated": ("bool", boolean(True)),
        "Zeekfleet::without_value": ("string", None),
    }


def _cluster(config: Configuration) -> Identifiers:
    return {
        "Cluster::node": ("string", string(config.name if config.name in config.cluster else "")),
        "Cluster::manager_is_logger": ("bool", boolean(not has_logger(config))),
    }


def _base(config: Configuration) -> Identifiers:
    role = config.own.role if config.own else "NONE"
    metrics_port = config.own.metrics_port if config.own else None
    logs_here = role in ("NONE", "LOGGER") or (role == "MANAGER" and not has_logger(config))
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
        "Telemetry::metrics_address": ("string", string(LOOPBACK if metrics_port else "")),
        "Telemetry::metrics_port": ("port", zeek_json.port(metrics_port, "tcp") if metrics_port else zeek_json.port()),
    }


def has_logger(config: Configuration) -> bool:
    """Whether the cluster has a logger of its own."""
    return any(row.role == "LOGGER" for row in config.cluster.values())


def _rotation(role: str) -> float:
    """The rotation interval in seconds that Zeek's scripts set for nodes of this role."""
    return {"NONE": 0.0, "LOGGER": 3600.0, "MANAGER": 3600.0}.get(role, 86400.0)
