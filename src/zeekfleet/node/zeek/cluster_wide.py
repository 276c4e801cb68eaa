"""What all Zeeks of a cluster must agree on, beside the configuration: the ZeroMQ hub's ports and keys."""

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
from zeekfleet.system.ports import KeptPorts, is_listened_on, keep, keep_any, keep_what_can_be

logger = logging.getLogger(__name__)


class ClusterWide:
    """One agent's share of it.

    The hub's ports are what the operator says. Else they are Zeek's own; but an instance that has the whole
    cluster to itself, and so nobody to agree with, takes free ones where another cluster has those. Whichever they
    are, they are kept from other clusters and programs on this host for as long as the cluster is deployed.

    Args:
        directory: where keys are kept; nothing else is named like them there.
        hub_ports: the operator's choice; 0 where there is none.
    """

    def __init__(self, directory: Path, hub_ports: tuple[int, int] = (0, 0)) -> None:
        self._directory = directory
        self._hub_ports = hub_ports
        self._kept: KeptPorts | None = None
        self._keys: Path | None = None
        self._deployed: frozenset[str] = frozenset()
        self._given_out: set[str] = set()

    def variables(self, configuration: Configuration, running: Mapping[str, NodeConfig]) -> dict[str, str]:
        """What to launch each node with.

        Args:
            configuration: whose nodes.
            running: all nodes of ours that the supervisor has now.
        """
        self._remove_unused_keys(running.values())
        found: dict[str, str] = {}
        instances = {node.instance for node in configuration.nodes}
        if not instances:
            self.close()
        elif any(self._hub_ports) or len(instances) > 1:
            own = (self._hub_ports[0] or DEFAULT_HUB_PORTS[0], self._hub_ports[1] or DEFAULT_HUB_PORTS[1])
            self._keep_settled(_hub_host(configuration), own)
        else:
            host = _hub_host(configuration)
            found[HUB_PORTS] = write_hub_ports(self._chosen(host, hub_ports_of(running.values())))
        if self._keys is not None and on_several_hosts(configuration):
            found[CURVE_FILE] = str(self._keys)
            self._given_out.add(self._keys.name)
        return found

    def follow(self, configs: Mapping[str, NodeConfig]) -> None:
        """Learn what nodes are launched with that are deployed, or were found running."""
        self._deployed = _key_files(configs.values())
        self._given_out.clear()
        ports = hub_ports_of(configs.values())
        if ports is not None and self._kept is None:
            hosts = {str(row.host) for one in configs.values() for row in one.cluster.values() if _is_manager(row.role)}
            self._keep_settled(min(hosts, default=LOOPBACK), ports)

    def take_keys(self, keys: CurveKeys) -> None:
        """Keep keys in a file of their own name: other keys are another file, and so a change of launch.

        Raises:
            OSError: the file cannot be written.
        """
        content = msgspec.json.encode(keys)
        file = self._directory / file_name(hashlib.sha256(content).hexdigest())
        write_private(file, content)
        self._keys = file

    def close(self) -> None:
        """Let go of the ports."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _chosen(self, host: str, running: tuple[int, int] | None) -> tuple[int, int]:
        """What the running nodes have, else what was chosen before, if nobody sits there, else anew."""
        if running is not None:
            self._keep_settled(host, running)
            return running
        if self._kept is not None and not any(is_listened_on(host, port) for port in self._kept.numbers):
            return _pair(self._kept)
        self.close()
        # Who is the first to keep Zeek's own ports has them, whatever the others have seen.
        self._kept = keep(host, DEFAULT_HUB_PORTS)
        if self._kept is None:
            try:
                self._kept = keep_any(host, 2)
            except OSError:
                # The manager will say what is wrong with its address.
                self._kept = keep_any(LOOPBACK, 2)
        return _pair(self._kept)

    def _keep_settled(self, host: str, ports: tuple[int, int]) -> None:
        if self._kept is None or self._kept.numbers != ports:
            self.close()
            self._kept = keep_what_can_be(host, ports)

    def _remove_unused_keys(self, running: Iterable[NodeConfig]) -> None:
        """Remove files of keys that no node has, or is about to have: not those that are there, not those deployed,
        not those that were given out since.
        """
        used = self._deployed | self._given_out | _key_files(running)
        for file in self._directory.glob(FILE_PATTERN):
            if file.name not in used and file != self._keys:
                with contextlib.suppress(OSError):
                    file.unlink()
                    logger.info("removed %s, keys that no node has any more", file.name)


def _pair(kept: KeptPorts) -> tuple[int, int]:
    first, second = kept.numbers
    return first, second


def _key_files(configs: Iterable[NodeConfig]) -> frozenset[str]:
    return frozenset(Path(config.env[CURVE_FILE]).name for config in configs if config.env.get(CURVE_FILE))


def _is_manager(role: ClusterRole) -> bool:
    return role is ClusterRole.MANAGER


def _hub_host(configuration: Configuration) -> str:
    """The address of the hub, where the manager is; every address while it is not known."""
    instances = {node.instance for node in configuration.nodes if _is_manager(node.role)}
    hosts = {str(instance.host) for instance in configuration.instances if instance.name in instances}
    return min(hosts, default=LOOPBACK)


def on_several_hosts(configuration: Configuration) -> bool:
    """Whether the instances that have nodes are known to be on more than one host."""
    used = {node.instance for node in configuration.nodes}
    hosts = {instance.host for instance in configuration.instances if instance.name in used} - {UNSPECIFIED}
    return spans_hosts(hosts)
