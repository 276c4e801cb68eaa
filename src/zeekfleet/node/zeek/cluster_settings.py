"""What all Zeeks of a cluster must agree on in addition to the configuration: the ZeroMQ hub's ports and keys."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from zeekfleet.model.curve import FILE_PATTERN, CurveKeys, file_name
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Configuration
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.types import UNSPECIFIED
from zeekfleet.model.variables import CURVE_FILE, HUB_PORTS
from zeekfleet.planning.cluster_variables import DEFAULT_HUB_PORTS, hub_ports_of, write_hub_ports
from zeekfleet.planning.layout import spans_hosts
from zeekfleet.system.files import write_private
from zeekfleet.system.ports import ReservedPorts, is_listened_on, reserve, reserve_any, reserve_available

logger = logging.getLogger(__name__)


class ClusterSettings:
    """The hub's ports and the keys that one agent gives to its nodes.

    The operator may choose the hub's ports; by default they are Zeek's own. If all nodes of the cluster are on one
    instance and another cluster uses Zeek's ports, that instance chooses free ones. As long as the cluster is
    deployed, the agent reserves the ports, so that no other cluster or program on this host takes them.

    Args:
        directory: the directory for files with keys; no other files there may match :data:`FILE_PATTERN`.
        hub_ports: the operator's choice; 0 for none.
    """

    def __init__(self, directory: Path, hub_ports: tuple[int, int] = (0, 0)) -> None:
        self._directory = directory
        self._hub_ports = hub_ports
        self._reserved: ReservedPorts | None = None
        self._keys: Path | None = None
        self._deployed: frozenset[str] = frozenset()
        self._given_out: set[str] = set()

    def variables(self, configuration: Configuration, running: Mapping[str, NodeConfig]) -> dict[str, str]:
        """The variables to launch every node with.

        Args:
            configuration: the configuration with these nodes.
            running: all nodes of this instance that the supervisor has now.
        """
        self._remove_unused_keys(running.values())
        found: dict[str, str] = {}
        instances = {node.instance for node in configuration.nodes}
        if not instances:
            self.close()
        elif any(self._hub_ports) or len(instances) > 1:
            own = (self._hub_ports[0] or DEFAULT_HUB_PORTS[0], self._hub_ports[1] or DEFAULT_HUB_PORTS[1])
            self._reserve_given(_hub_host(configuration), own)
        else:
            host = _hub_host(configuration)
            found[HUB_PORTS] = write_hub_ports(self._chosen(host, hub_ports_of(running.values())))
        if self._keys is not None and on_several_hosts(configuration):
            found[CURVE_FILE] = str(self._keys)
            self._given_out.add(self._keys.name)
        return found

    def follow(self, configs: Mapping[str, NodeConfig]) -> None:
        """Take over the ports and keys of nodes that were deployed, or were found running."""
        self._deployed = _key_files(configs.values())
        self._given_out.clear()
        ports = hub_ports_of(configs.values())
        if ports is not None and self._reserved is None:
            hosts = {str(row.host) for one in configs.values() for row in one.cluster.values() if _is_manager(row.role)}
            self._reserve_given(min(hosts, default=LOOPBACK), ports)

    def store_keys(self, keys: CurveKeys) -> None:
        """Write the keys to a file that is named after them. Other keys have another name, so nodes are relaunched.

        Raises:
            OSError: the file cannot be written.
        """
        content = msgspec.json.encode(keys)
        file = self._directory / file_name(hashlib.sha256(content).hexdigest())
        write_private(file, content)
        self._keys = file

    def close(self) -> None:
        """Release the ports."""
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _chosen(self, host: str, running: tuple[int, int] | None) -> tuple[int, int]:
        """The running nodes' ports; else the former choice, if no program uses these ports; else a new choice."""
        if running is not None:
            self._reserve_given(host, running)
            return running
        if self._reserved is not None and not any(is_listened_on(host, port) for port in self._reserved.numbers):
            return _pair(self._reserved)
        self.close()
        # Several agents may find Zeek's own ports free at the same time; reserving them decides.
        self._reserved = reserve(host, DEFAULT_HUB_PORTS)
        if self._reserved is None:
            try:
                self._reserved = reserve_any(host, 2)
            except OSError:
                # The address cannot be used; the manager's own error will say why.
                self._reserved = reserve_any(LOOPBACK, 2)
        return _pair(self._reserved)

    def _reserve_given(self, host: str, ports: tuple[int, int]) -> None:
        if self._reserved is None or self._reserved.numbers != ports:
            self.close()
            self._reserved = reserve_available(host, ports)

    def _remove_unused_keys(self, running: Iterable[NodeConfig]) -> None:
        """Remove files with keys that no node uses: neither running, nor deployed, nor in a deployment under way."""
        used = self._deployed | self._given_out | _key_files(running)
        for file in self._directory.glob(FILE_PATTERN):
            if file.name not in used and file != self._keys:
                with contextlib.suppress(OSError):
                    file.unlink()
                    logger.info("removed %s: no node uses these keys any more", file.name)


def _pair(reserved: ReservedPorts) -> tuple[int, int]:
    first, second = reserved.numbers
    return first, second


def _key_files(configs: Iterable[NodeConfig]) -> frozenset[str]:
    return frozenset(Path(config.env[CURVE_FILE]).name for config in configs if config.env.get(CURVE_FILE))


def _is_manager(role: ClusterRole) -> bool:
    return role is ClusterRole.MANAGER


def _hub_host(configuration: Configuration) -> str:
    """The address of the hub, which is the manager's; 0.0.0.0, all addresses, if it is not known."""
    instances = {node.instance for node in configuration.nodes if _is_manager(node.role)}
    hosts = {str(instance.host) for instance in configuration.instances if instance.name in instances}
    return min(hosts, default=LOOPBACK)


def on_several_hosts(configuration: Configuration) -> bool:
    """Whether the instances with nodes are on more than one host, as far as their addresses are known."""
    used = {node.instance for node in configuration.nodes}
    hosts = {instance.host for instance in configuration.instances if instance.name in used} - {UNSPECIFIED}
    return spans_hosts(hosts)
