"""The ``Management::*`` records (docs/protocol.md, section 4)."""

from __future__ import annotations

import importlib
import os
import uuid
from typing import Any, ClassVar, Final

import msgspec

from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.types import UNSPECIFIED, Address, Integer, Port, Record, SetOf

TIMED_OUT: Final = "request timed out"
"""The error of a result that stands for an answer which did not come in time."""


def fresh_id() -> str:
    """A new unique id, for configurations and requests."""
    return str(uuid.uuid4())


class Option(Record, frozen=True):
    """A Zeek option's name and the value to give it."""

    zeek_name: ClassVar[str] = "Management::Option"

    name: str
    value: str


class Instance(Record, frozen=True):
    """A host, or a part of one, with its own agent.

    ``host`` is ``0.0.0.0`` until it is known. With a ``listen_port`` the
    controller connects to the agent; without one the agent connects to the controller.
    """

    zeek_name: ClassVar[str] = "Management::Instance"

    name: str
    host: Address = UNSPECIFIED
    listen_port: Port | None = None


class Node(Record, frozen=True):
    """A Zeek process of the cluster, as configured."""

    zeek_name: ClassVar[str] = "Management::Node"

    name: str
    instance: str
    role: ClusterRole
    state: State
    p: Port | None = None
    scripts: tuple[str, ...] | None = None
    options: SetOf[Option] | None = None
    interface: str | None = None
    cpu_affinity: Integer | None = None
    env: dict[str, str] = msgspec.field(default_factory=dict)
    metrics_port: Port | None = None


class Configuration(Record, frozen=True):
    """A whole cluster: its instances and nodes. Each version of it has its own id."""

    zeek_name: ClassVar[str] = "Management::Configuration"

    id: str = msgspec.field(default_factory=fresh_id)
    instances: SetOf[Instance] = ()
    nodes: SetOf[Node] = ()

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, instance: str = "", lax: bool = False) -> Configuration:
        """Read a cluster configuration file (docs/protocol.md, section 10); warnings about it are logged.

        Args:
            path: the file's; relative paths in it start in its directory.
            instance: the instance of nodes that name none; ``agent-<hostname>`` if empty.
            lax: unknown keys are warnings, not errors.

        Raises:
            ConfigurationError: the file cannot be read, or what it says is wrong; its ``errors`` has every problem.
        """
        # Records import nothing: what reads files is loaded when it is needed.
        reader = importlib.import_module("zeekfleet.client.config_file")
        read: Configuration = reader.read_configuration(os.fspath(path), instance=instance, lax=lax)
        return read


class NodeStatus(Record, frozen=True):
    """``Management::NodeStatus``: what is known of a running node."""

    zeek_name: ClassVar[str] = "Management::NodeStatus"

    node: str
    state: State
    mgmt_role: Role = Role.NONE
    cluster_role: ClusterRole = ClusterRole.NONE
    pid: Integer | None = None
    p: Port | None = None
    metrics_port: Port | None = None


class Result(Record, frozen=True):
    """The outcome of a request, or of the part of a request that concerns one instance or node.

    ``data`` may have any type. In a result to send it is a record or a plain value,
    in a received one an undecoded value of the data model (see ``broker.codec``).
    """

    zeek_name: ClassVar[str] = "Management::Result"

    reqid: str
    success: bool = True
    instance: str | None = None
    data: Any = None
    error: str | None = None
    node: str | None = None

    def __str__(self) -> str:
        """Zeek's ``result_to_string`` (docs/protocol.md, section 13)."""
        text = "success" if self.success else f"error ({self.error})" if self.error else "error"
        details = [f"reqid {self.reqid}"] if self.reqid else []
        details += [f"instance {self.instance}"] if self.instance else []
        details += [f"node {self.node}"] if self.node else []
        return f"{text} ({', '.join(details)})" if details else text


class NodeOutputs(Record, frozen=True):
    """The last lines that a node wrote to standard output and standard error."""

    zeek_name: ClassVar[str] = "Management::NodeOutputs"

    stdout: str
    stderr: str
