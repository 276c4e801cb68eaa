"""How a simulated node gets its ``NodeConfig``: a file in its directory, in the protocol's own JSON form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from zeekfleet.broker import values
from zeekfleet.broker.generations import SECOND
from zeekfleet.errors import ConfigurationError, FrameError, ValueMismatchError
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.simulator.identifiers import without_others

CONFIG_VARIABLE = "ZEEKFLEET_NODE_FILE"
"""The file's path; relative ones start at the working directory."""

CONFIG_FILE = "node-config.json"
CLUSTER_FILE = "cluster-nodes.json"
"""The text of ``Cluster::nodes``, read only when asked for."""

NAME_VARIABLE = "CLUSTER_NODE"


def to_text(config: NodeConfig) -> str:
    """The file's content."""
    return SECOND.codec.to_json(config, NodeConfig) + "\n"


def from_text(text: bytes | str) -> NodeConfig:
    """The configuration that such a file holds.

    Raises:
        FrameError, ValueMismatchError: it holds none.
    """
    return SECOND.codec.from_value(values.from_json(text), NodeConfig)


def load(environment: Mapping[str, str], directory: Path) -> NodeConfig:
    """The node's configuration: from the file, or, without one, just the name that CLUSTER_NODE gives.

    Raises:
        ConfigurationError: the file cannot be used, or there is neither file nor name.
    """
    given = environment.get(CONFIG_VARIABLE)
    if given:
        path = directory / given
        try:
            return from_text(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        except (FrameError, ValueMismatchError) as error:
            raise ConfigurationError(f"{path} holds no node configuration: {error}") from error
    name = environment.get(NAME_VARIABLE)
    if not name:
        raise ConfigurationError(f"set {CONFIG_VARIABLE} to a node configuration file, or {NAME_VARIABLE} to a name")
    return NodeConfig(name=name)


def files(config: NodeConfig, cluster_nodes: str) -> dict[str, str]:
    """What a node's directory must hold: file name to content.

    Args:
        config: the node's whole configuration.
        cluster_nodes: the value of ``Cluster::nodes``.
    """
    return {CONFIG_FILE: to_text(without_others(config)), CLUSTER_FILE: cluster_nodes}


def cluster_nodes_reader(environment: Mapping[str, str], directory: Path) -> Callable[[], str | None] | None:
    """Reads the cluster file beside the configuration file; None when there is no such file."""
    given = environment.get(CONFIG_VARIABLE)
    path = (directory / given).with_name(CLUSTER_FILE) if given else None
    return functools.partial(_read, path) if path and path.is_file() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeError):
        return None


def missing_input(config: NodeConfig, directory: Path) -> str | None:
    """Zeek's words for a script or capture file that is not there, or None.

    Only scripts with an absolute path can be looked for: the others would be on Zeek's path.
    """
    for script in (*config.addl_base_scripts, *config.addl_user_scripts):
        if script.startswith("/") and "=" not in script and not _script_exists(script):
            return f"fatal error: can't find {script}"
    if config.pcap_file is not None:
        try:
            with (directory / config.pcap_file).open("rb"):
                return None
        except OSError as error:
            reason = f"unable to open {config.pcap_file}: {error.strerror}"
            return f"fatal error: problem with trace file {config.pcap_file} ({reason})"
    return None


def _script_exists(script: str) -> bool:
    return any(Path(path).is_file() for path in (script, f"{script}.zeek", f"{script}/__load__.zeek"))
