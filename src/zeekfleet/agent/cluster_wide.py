"""What all Zeeks of a cluster must agree on, beside the configuration: the ZeroMQ hub's ports and keys."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import Configuration
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.types import UNSPECIFIED
from zeekfleet.planning.cluster_variables import (
    CURVE_FILE,
    DEFAULT_HUB_PORTS,
    HUB_PORTS,
    hub_ports_of,
    write_hub_ports,
)
from zeekfleet.planning.layout import spans_hosts

LOOPBACK = "127.0.0.1"


class ClusterWide:
    """One agent's share of it.

    The hub's ports are what the operator says. Else they are Zeek's own; but an instance that has the whole
    cluster to itself, and so nobody to agree with, takes free ones where another cluster has those.

    Args:
        directory: where keys are kept.
        hub_ports: the operator's choice; 0 where there is none.
    """

    def __init__(self, directory: Path, hub_ports: tuple[int, int] = (0, 0)) -> None:
        self._directory = directory
        self._hub_ports = hub_ports
        self._keys: Path | None = None

    def variables(self, configuration: Configuration, running: Mapping[str, NodeConfig]) -> dict[str, str]:
        """What to launch each node with."""
        found: dict[str, str] = {}
        if not any(self._hub_ports) and len({node.instance for node in configuration.nodes}) == 1:
            ports = hub_ports_of(running.values()) or _free_hub_ports()
            found[HUB_PORTS] = write_hub_ports(ports)
        if self._keys is not None and on_several_hosts(configuration):
            found[CURVE_FILE] = str(self._keys)
        return found

    def take_keys(self, keys: CurveKeys) -> None:
        """Keep keys in a file of their own name: other keys are another file, and so a change of launch.

        Raises:
            OSError: the file cannot be written.
        """
        name = hashlib.sha256(msgspec.json.encode(keys)).hexdigest()[:16]
        file = self._directory / f"curve-{name}.json"
        temporary = file.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.encode(keys))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        self._keys = file


def on_several_hosts(configuration: Configuration) -> bool:
    """Whether the instances that have nodes are known to be on more than one host."""
    used = {node.instance for node in configuration.nodes}
    hosts = {instance.host for instance in configuration.instances if instance.name in used} - {UNSPECIFIED}
    return spans_hosts(hosts)


def _free_hub_ports() -> tuple[int, int]:
    if all(_is_free(port) for port in DEFAULT_HUB_PORTS):
        return DEFAULT_HUB_PORTS
    first, second = free_ports(2, set())
    return int(first), int(second)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int, taken: set[str]) -> list[str]:
    """Ports on loopback that nobody listens on now; held all at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count + len(taken))]
    try:
        for listener in sockets:
            listener.bind((LOOPBACK, 0))
        ports = (str(listener.getsockname()[1]) for listener in sockets)
        return [port for port in ports if port not in taken][:count]
    finally:
        for listener in sockets:
            listener.close()
