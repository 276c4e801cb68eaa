"""Where nodes will listen, by engine: what must be free before they start."""

from __future__ import annotations

from collections.abc import Iterator

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import Address
from zeekfleet.planning.checks import Listener
from zeekfleet.planning.layout import LOOPBACK, Backend, metrics_address


def of_simulated_node(config: NodeConfig) -> tuple[Listener, ...]:
    """A simulated node serves metrics, and nothing else."""
    own = config.cluster.get(config.name)
    return tuple(_metrics(own, LOOPBACK)) if own is not None else ()


def of_zeek(config: NodeConfig, backend: Backend, hub_ports: tuple[int, int]) -> tuple[Listener, ...]:
    """A real node: metrics; with Broker its port; with ZeroMQ the hub on the manager, and whoever receives logs.

    Args:
        config: the node's.
        backend: how the cluster's nodes talk to each other.
        hub_ports: the ZeroMQ hub's.
    """
    own = config.cluster.get(config.name)
    if own is None:
        return ()
    found = list(_metrics(own, metrics_address(config)))
    if backend is Backend.BROKER:
        found += [Listener("port", str(own.host), own.p.number)] if own.p.number else []
    else:
        if own.role is ClusterRole.MANAGER:
            found += [Listener("ZeroMQ hub port", str(own.host), port) for port in hub_ports]
        if own.p.number and _receives_logs(config, own):
            found.append(Listener("port", str(own.host), own.p.number))
    return tuple(found)


def _metrics(own: ClusterEndpoint, address: Address) -> Iterator[Listener]:
    if own.metrics_port is not None:
        yield Listener("metrics port", str(address), own.metrics_port.number)


def _receives_logs(config: NodeConfig, own: ClusterEndpoint) -> bool:
    """A logger does, or the manager where there is none and others to receive from."""
    if own.role is ClusterRole.LOGGER:
        return True
    loggers = any(row.role is ClusterRole.LOGGER for row in config.cluster.values())
    return own.role is ClusterRole.MANAGER and not loggers and len(config.cluster) > 1
