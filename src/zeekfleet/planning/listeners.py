"""Where a node of each engine will listen: these ports must be free before it starts."""

from __future__ import annotations

from collections.abc import Iterator

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import Address
from zeekfleet.planning.checks import Listener
from zeekfleet.planning.layout import LOOPBACK, Backend, metrics_address


def of_simulated_node(config: NodeConfig) -> tuple[Listener, ...]:
    """A simulated node listens only for metrics requests."""
    own = config.cluster.get(config.name)
    return tuple(_metrics(own, LOOPBACK)) if own is not None else ()


def of_zeek(config: NodeConfig, backend: Backend, hub_ports: tuple[int, int]) -> tuple[Listener, ...]:
    """A real node listens for metrics requests and, with Broker, on its own port.

    With ZeroMQ the manager listens on the hub's ports, and nodes that receive logs on their own ports.

    Args:
        config: the node's configuration.
        backend: the cluster back end.
        hub_ports: the two ports of the ZeroMQ hub.
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
    """A logger does; without a logger, the manager does, if there are other nodes."""
    if own.role is ClusterRole.LOGGER:
        return True
    loggers = any(row.role is ClusterRole.LOGGER for row in config.cluster.values())
    return own.role is ClusterRole.MANAGER and not loggers and len(config.cluster) > 1
