"""The ``Supervisor::*`` records (docs/protocol.md, section 4)."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.types import Address, Integer, Port, Record


class ClusterEndpoint(Record, frozen=True):
    """One row of the cluster layout: a node's role, address and ports."""

    zeek_name: ClassVar[str] = "Supervisor::ClusterEndpoint"

    role: ClusterRole
    host: Address
    p: Port
    interface: str | None = None
    pcap_file: str | None = None
    metrics_port: Port | None = None


class NodeConfig(Record, frozen=True):
    """What a supervised node is launched with; every field takes effect.

    Without ``bare_mode`` the node takes the Supervisor's. ``cluster`` is the
    whole cluster's layout, by node name.
    """

    zeek_name: ClassVar[str] = "Supervisor::NodeConfig"

    name: str
    interface: str | None = None
    pcap_file: str | None = None
    directory: str | None = None
    stdout_file: str | None = None
    stderr_file: str | None = None
    bare_mode: bool | None = None
    addl_base_scripts: tuple[str, ...] = ()
    addl_user_scripts: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    cpu_affinity: Integer | None = None
    cluster: dict[str, ClusterEndpoint] = msgspec.field(default_factory=dict)


class NodeStatus(Record, frozen=True):
    """``Supervisor::NodeStatus``: a node's configuration and the id of its present or last process."""

    zeek_name: ClassVar[str] = "Supervisor::NodeStatus"

    node: NodeConfig
    pid: Integer | None = None


class Status(Record, frozen=True):
    """``Supervisor::Status``: the nodes that were asked for, by name."""

    zeek_name: ClassVar[str] = "Supervisor::Status"

    nodes: dict[str, NodeStatus] = msgspec.field(default_factory=dict)
