"""Reads a simulated node's configuration from its file: a ``Supervisor::NodeConfig`` in Broker's JSON form."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping

from zeekfleet.errors import ConfigurationError
from zeekfleet.node.simulator import events

CONFIG_VARIABLE = "ZEEKFLEET_NODE_FILE"
"""The variable with the file's path; a relative path starts at the working directory."""

CONFIG_FILE = "node-config.json"
CLUSTER_FILE = "cluster-nodes.json"
"""The file with the text of ``Cluster::nodes``, which is read only when somebody asks for it."""

NAME_VARIABLE = "CLUSTER_NODE"

FIELDS = (
    "name",
    "interface",
    "pcap_file",
    "directory",
    "stdout_file",
    "stderr_file",
    "bare_mode",
    "addl_base_scripts",
    "addl_user_scripts",
    "env",
    "cpu_affinity",
    "cluster",
)
"""The fields of a ``NodeConfig``, in their order."""


class Row:
    """A node of the cluster: its role, such as ``LOGGER``, and the port number of its metrics."""

    def __init__(self, role: str, metrics_port: int | None = None) -> None:
        self.role = role
        self.metrics_port = metrics_port


class Configuration:
    """The part of a ``NodeConfig`` that a simulated node uses.

    Attributes:
        name: the node's name.
        interface: the interface that it would read traffic from.
        pcap_file: the trace that it would read.
        bare_mode: whether it has only the globals of Zeek's core, without those of the default scripts.
        scripts: scripts and options, in the order in which Zeek would load them.
        cluster: the nodes that matter to this one, by name.
    """

    def __init__(
        self,
        name: str,
        *,
        interface: str | None = None,
        pcap_file: str | None = None,
        bare_mode: bool = False,
        scripts: Iterable[str] = (),
        cluster: Mapping[str, Row] | None = None,
    ) -> None:
        self.name = name
        self.interface = interface
        self.pcap_file = pcap_file
        self.bare_mode = bare_mode
        self.scripts = tuple(scripts)
        self.cluster = dict(cluster or {})

    @property
    def own(self) -> Row | None:
        """The node's own row, if it is in the cluster."""
        return self.cluster.get(self.name)


def load(environment: Mapping[str, str], directory: str) -> Configuration:
    """The node's configuration, from its file. Without a file it has just a name, from CLUSTER_NODE.

    Raises:
        ConfigurationError: the file cannot be used, or there is neither file nor name.
    """
    given = environment.get(CONFIG_VARIABLE)
    if given:
        path = os.path.join(directory, given)
        try:
            with open(path, "rb") as file:
                return _read(json.load(file))
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"{path} holds no node configuration: {error}") from error
    name = environment.get(NAME_VARIABLE)
    if not name:
        raise ConfigurationError(f"set {CONFIG_VARIABLE} to a node configuration file, or {NAME_VARIABLE} to a name")
    return Configuration(name)


def _read(document: object) -> Configuration:
    given = dict(zip(FIELDS, events.plain(document), strict=True))
    return Configuration(
        given["name"],
        interface=given["interface"],
        pcap_file=given["pcap_file"],
        bare_mode=bool(given["bare_mode"]),
        scripts=(*given["addl_base_scripts"], *given["addl_user_scripts"]),
        cluster={name: _row(*fields) for name, fields in given["cluster"].items()},
    )


def _row(role: str, _host: str, _port: str, _interface: str, _pcap_file: str, metrics_port: str | None = None) -> Row:
    """From the fields of a ``Supervisor::ClusterEndpoint``, such as ``Supervisor::LOGGER`` and ``9001/tcp``."""
    return Row(role.rpartition("::")[2], int(metrics_port.partition("/")[0]) if metrics_port else None)


def cluster_file(environment: Mapping[str, str], directory: str) -> str | None:
    """The path of the cluster file beside the configuration file; None if the node was given no file."""
    given = environment.get(CONFIG_VARIABLE)
    return os.path.join(os.path.dirname(os.path.join(directory, given)), CLUSTER_FILE) if given else None


def missing_input(scripts: Iterable[str], pcap_file: str | None, directory: str) -> str | None:
    """Zeek's error text for a missing script or trace; None if none is missing.

    Only scripts with an absolute path can be looked for: others would be found on Zeek's script path.
    """
    for script in scripts:
        if script.startswith("/") and "=" not in script and not _script_exists(script):
            return f"fatal error: can't find {script}"
    if pcap_file is not None:
        try:
            with open(os.path.join(directory, pcap_file), "rb"):
                return None
        except OSError as error:
            reason = f"unable to open {pcap_file}: {error.strerror}"
            return f"fatal error: problem with trace file {pcap_file} ({reason})"
    return None


def _script_exists(script: str) -> bool:
    return any(os.path.isfile(path) for path in (script, f"{script}.zeek", f"{script}/__load__.zeek"))
