"""Every setting of the daemons, declared once: type, default, meaning.

A section here is a table of the settings file, and a field's name is its key there. The
option and the environment variable follow from both (``resolution``). Precedence: option,
environment variable, settings file, default.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from zeekfleet.model import defaults, ranges, variables
from zeekfleet.model.launch import AUTO, EngineName
from zeekfleet.model.names import shortened
from zeekfleet.model.ranges import Range

BackendName = Literal["zeromq", "broker"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
CompressionName = Literal["gzip", "zstd", "none"]

DEFAULT_GROUP = "zeekfleet"
"""The group whose members are served by default, if the host has this group."""


class Setting(msgspec.Struct, frozen=True):
    """A setting's help and limits; its section, name, type and default are in the declaration.

    Attributes:
        help: the help text.
        within: the range of a number; every number has one.
        zero: 0 is allowed, too; the help says what it means.
        none: ``none`` is allowed, too, and stands for None; the help says what it means.
        names: what a text stands for: a ``path``, the program of a ``command``, or the ``host`` to listen on. In the
            settings file, a relative path begins in that file's directory, elsewhere in the current directory.
        flag: the option has no value: it switches something on.
        option: the option, if it does not follow from the name.
        variable: the environment variable, if it does not follow from the option.
    """

    help: str
    within: Range | None = None
    zero: bool = False
    none: bool = False
    names: Literal["", "path", "command", "host"] = ""
    flag: bool = False
    option: str = ""
    variable: str = ""

    @property
    def expected(self) -> str:
        """The allowed numbers, as the end of a sentence."""
        return f"{self.within}{', or 0' if self.zero else ''}{', or none' if self.none else ''}"

    def allows(self, number: float | None) -> bool:
        """Whether this number may be given, or None."""
        if number is None:
            return self.none
        return (self.zero and number == 0) or (self.within is not None and number in self.within)


class CommonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of all daemons."""

    state_dir: Annotated[
        str, Setting("directory for what must outlive the daemon", names="path", variable="ZEEK_MANAGEMENT_STATE_DIR")
    ] = msgspec.field(default_factory=lambda: _default_directory("lib"))
    spool_dir: Annotated[
        str, Setting("directory for rotated logs on their way", names="path", variable="ZEEK_MANAGEMENT_SPOOL_DIR")
    ] = msgspec.field(default_factory=lambda: _default_directory("spool"))
    log_format: Annotated[LogFormat, Setting("form of the log on stderr")] = "text"
    log_level: Annotated[LogLevel, Setting("least level that is logged")] = "info"
    management_log_format: Annotated[Literal["tsv", "json"], Setting("form of management-<name>.log")] = "tsv"
    output_limit: Annotated[
        int,
        Setting(
            "bytes of a management log, or of a process's output, before it is rotated",
            within=Range(4096, 2**40, "bytes"),
        ),
    ] = 16 * 2**20
    output_kept: Annotated[
        int, Setting("how many rotated files are kept of each", within=Range(0, 1000, "a number of files"))
    ] = 3
    frame_limit: Annotated[
        int, Setting("largest WebSocket frame that is accepted, in bytes", within=Range(1024, 2**30, "bytes"))
    ] = 16 * 2**20
    unfinished_limit: Annotated[
        int,
        Setting(
            "bytes of frames that have arrived only in part, of all connections; above it, the oldest one is cut",
            within=Range(1024, 2**33, "bytes"),
        ),
    ] = 64 * 2**20
    connection_limit: Annotated[
        int, Setting("connections that a port has at a time", within=Range(1, 1_000_000, "a number of connections"))
    ] = 4096
    connection_limit_each: Annotated[
        int,
        Setting(
            "connections that one peer may have at a time: a user of this host, or an address",
            within=Range(1, 1_000_000, "a number of connections"),
        ),
    ] = 2048
    handshake_limit: Annotated[
        int,
        Setting(
            "connections to a port that are not upgraded to WebSocket yet; if there are more, the oldest is closed",
            within=Range(1, 1_000_000, "a number of connections"),
        ),
    ] = 256
    handshake_timeout: Annotated[
        float, Setting("seconds that a new connection has to begin to talk", within=ranges.SECONDS)
    ] = 10.0
    connect_retry: Annotated[
        float, Setting("seconds before a lost connection is tried again for the first time", within=ranges.SECONDS)
    ] = 0.2
    allow_user: Annotated[
        str,
        Setting(
            "further users of this host to serve, by name or number, separated by commas; root and our own always are"
        ),
    ] = ""
    allow_group: Annotated[
        str, Setting("groups of this host whose members are served; the default one need not exist")
    ] = DEFAULT_GROUP
    insecure: Annotated[
        bool,
        Setting(
            "serve and connect to other hosts without certificates: whoever reaches a port commands the nodes",
            flag=True,
        ),
    ] = False
    server_name: Annotated[
        str, Setting("further names by which web browsers and clients on this host may call it, separated by commas")
    ] = ""


class ControllerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the controller."""

    name: Annotated[str, Setting("the controller's name", variable="ZEEK_CONTROLLER_NAME")] = msgspec.field(
        default_factory=lambda: _named_after_host("controller")
    )
    websocket_listen: Annotated[
        str, Setting("address for clients", names="host", variable="ZEEK_CONTROLLER_WEBSOCKET_ADDR")
    ] = defaults.LOOPBACK
    websocket_port: Annotated[
        int,
        Setting("port for clients; 0 switches it off", within=ranges.PORT, variable="ZEEK_CONTROLLER_WEBSOCKET_PORT"),
    ] = defaults.CLIENT_PORT
    listen: Annotated[str, Setting("address for agents", names="host", variable="ZEEK_CONTROLLER_ADDR")] = (
        defaults.LOOPBACK
    )
    port: Annotated[
        int, Setting("port for agents; 0 switches it off", within=ranges.PORT, variable=variables.PORT_FOR_AGENTS)
    ] = defaults.CONTROLLER_PORT
    request_timeout: Annotated[
        float,
        Setting(
            "seconds to wait for an answer; more where many nodes are concerned",
            within=ranges.SECONDS,
            variable="ZEEKFLEET_CONTROLLER_TIMEOUT",
        ),
    ] = 10.0
    instance_wait: Annotated[
        float,
        Setting(
            "seconds that a deployment waits for missing instances; 0: as long as for an answer",
            within=ranges.WAIT,
        ),
    ] = 0.0
    auto_assign_ports: Annotated[bool, Setting("assign listening ports to nodes that have none")] = True
    auto_assign_start_port: Annotated[int, Setting("the first listening port to assign", within=ranges.PORT)] = 2200
    auto_assign_metrics_ports: Annotated[bool, Setting("assign metrics ports to nodes that have none")] = True
    auto_assign_metrics_start_port: Annotated[int, Setting("the first metrics port to assign", within=ranges.PORT)] = (
        9000
    )
    first_generation_clients: Annotated[
        bool, Setting("serve clients of Zeek 4.2 at the port for agents, unless clients need certificates")
    ] = False
    check_before_deploy: Annotated[bool, Setting("have agents check a configuration before it is deployed")] = True
    node_limit: Annotated[
        int, Setting("how many nodes a configuration may have", within=Range(1, 1_000_000, "a number of nodes"))
    ] = 100_000
    node_limit_each: Annotated[
        int, Setting("how many nodes one instance may have", within=Range(1, 1_000_000, "a number of nodes"))
    ] = 10_000
    notification_size: Annotated[
        int,
        Setting(
            "characters of a message from an agent that are kept and logged",
            within=Range(100, 1_000_000, "a number of characters"),
        ),
    ] = 4096
    notification_rate: Annotated[
        float,
        Setting(
            "messages a second, on average, that are kept of one agent",
            within=Range(0.1, 1_000_000, "a number a second"),
        ),
    ] = 100.0
    audit_limit: Annotated[
        int, Setting("bytes of the audit log before another part begins", within=Range(4096, 2**40, "bytes"))
    ] = 16 * 2**20
    audit_kept: Annotated[
        int, Setting("how many older parts of the audit log are kept", within=Range(0, 1000, "a number of files"))
    ] = 10
    tls_certificate: Annotated[
        str,
        Setting("PEM file with the controller's certificate", names="path", variable="ZEEKFLEET_TLS_CERTIFICATE"),
    ] = ""
    tls_key: Annotated[
        str, Setting("PEM file with the certificate's private key", names="path", variable="ZEEKFLEET_TLS_KEY")
    ] = ""
    tls_ca: Annotated[
        str,
        Setting(
            "PEM file with the authorities whose certificates clients and agents need",
            names="path",
            variable="ZEEKFLEET_TLS_CA",
        ),
    ] = ""
    tls_revoked: Annotated[
        str,
        Setting(
            "PEM file with the authorities' lists of revoked certificates",
            names="path",
            variable="ZEEKFLEET_TLS_REVOKED",
        ),
    ] = ""
    tls_role: Annotated[
        Literal["viewer", "operator", "admin", "none"],
        Setting("role of clients whose certificate names none: viewer, operator, admin; or none to refuse them"),
    ] = "admin"


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the agent."""

    name: Annotated[str, Setting("the agent's name", variable="ZEEK_AGENT_NAME")] = msgspec.field(
        default_factory=lambda: _named_after_host("agent")
    )
    listen: Annotated[str, Setting("address to listen on", names="host", variable="ZEEK_AGENT_ADDR")] = (
        defaults.LOOPBACK
    )
    port: Annotated[
        int, Setting("port to listen on; 0 takes any free one", within=ranges.PORT, variable="ZEEK_AGENT_PORT")
    ] = defaults.AGENT_PORT
    controller: Annotated[str, Setting("HOST or HOST:PORT of the controller, or none to wait for it")] = (
        f"{defaults.LOOPBACK}:{defaults.CONTROLLER_PORT}"
    )
    tls_certificate: Annotated[str, Setting("PEM file with the agent's certificate", names="path")] = ""
    tls_key: Annotated[str, Setting("PEM file with the certificate's private key", names="path")] = ""
    tls_ca: Annotated[
        str, Setting("PEM file with the authorities whose certificates controllers need", names="path")
    ] = ""
    tls_revoked: Annotated[
        str, Setting("PEM file with the authorities' lists of revoked certificates", names="path")
    ] = ""
    controller_hold: Annotated[
        float,
        Setting(
            "seconds after which another controller may take the place of one that is gone",
            within=ranges.DELAY,
        ),
    ] = 30.0
    request_timeout: Annotated[
        float,
        Setting(
            "seconds to wait for an answer; more where many nodes are concerned",
            within=ranges.SECONDS,
            variable="ZEEKFLEET_AGENT_TIMEOUT",
        ),
    ] = 5.0
    health_interval: Annotated[
        float, Setting("seconds between health checks of a node; 0: none", within=ranges.WAIT)
    ] = 10.0
    health_misses: Annotated[
        int,
        Setting(
            "unanswered health checks in a row after which a node has failed",
            within=Range(1, 1000, "a number of checks"),
        ),
    ] = 3
    start_limit: Annotated[float, Setting("seconds for a started node to say hello", within=ranges.SECONDS)] = 60.0
    health_restart: Annotated[bool, Setting("restart nodes that do not answer, or never say hello")] = True
    peer_limit: Annotated[
        float,
        Setting(
            "seconds without a connection to a node that it needs, after which a node is reported as cut off",
            within=ranges.SECONDS,
        ),
    ] = 30.0
    departed_days: Annotated[
        float,
        Setting(
            "days that the directory of a node is kept after the node left the configuration; 0: for ever",
            within=ranges.DAYS,
        ),
    ] = 30.0
    group_wait: Annotated[
        float,
        Setting(
            "longest wait, in seconds, for a group of nodes before the next begins; 0: a fifth of the whole time",
            within=ranges.WAIT,
        ),
    ] = 0.0


class SupervisorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the supervisor and its nodes."""

    port: Annotated[
        int | None,
        Setting(
            "loopback port for SupervisorControl, 0 for any free one; none: only the agent of the host may use it",
            within=ranges.PORT,
            none=True,
        ),
    ] = None
    engine: Annotated[EngineName, Setting("kind of nodes: zeek, sim, or auto")] = AUTO
    node_user: Annotated[
        str, Setting("user that nodes run as, by name or number, where the daemon is root; by default its own")
    ] = ""
    node_group: Annotated[str, Setting("group that nodes run as; by default that of their user")] = ""
    backend: Annotated[BackendName, Setting("cluster back end of real Zeek nodes")] = "zeromq"
    zeromq_xpub_port: Annotated[
        int,
        Setting(
            "outgoing port of the manager's ZeroMQ hub; 0: 5555, or a free one if the cluster is on one host",
            within=ranges.PORT,
        ),
    ] = 0
    zeromq_xsub_port: Annotated[
        int,
        Setting(
            "incoming port of the manager's ZeroMQ hub; 0: 5556, or a free one if the cluster is on one host",
            within=ranges.PORT,
        ),
    ] = 0
    bare_mode: Annotated[bool, Setting("start nodes in bare mode")] = False
    exit_lines: Annotated[
        int, Setting("lines of each stream in a node's exit report", within=Range(0, 100_000, "a number of lines"))
    ] = 100
    grace: Annotated[float, Setting("seconds between SIGTERM and SIGKILL", within=ranges.GRACE)] = 10.0
    grace_ceiling: Annotated[
        float,
        Setting(
            "seconds that a node that writes logs may take to stop while it still writes; 0: only its grace",
            within=ranges.GRACE_CEILING,
        ),
    ] = 300.0
    on_exit: Annotated[Literal["stop", "keep"], Setting("what a stopped daemon does with its nodes: stop or keep")] = (
        "stop"
    )
    max_starting: Annotated[
        int,
        Setting("how many nodes are started at a time", within=Range(1, 100_000, "a number of requests")),
    ] = 64
    revival: Annotated[bool, Setting("start nodes again that ended by themselves")] = True
    revival_initial_delay: Annotated[
        float,
        Setting(
            "seconds before the second revival in a row; the first comes at once",
            within=ranges.REVIVAL["initial_delay"],
        ),
    ] = 0.5
    revival_factor: Annotated[
        float, Setting("how many times longer each further delay is", within=ranges.REVIVAL["factor"])
    ] = 2.0
    revival_max_delay: Annotated[
        float, Setting("the longest delay before a revival, in seconds", within=ranges.REVIVAL["max_delay"])
    ] = 30.0
    revival_jitter: Annotated[float, Setting("jitter, as a fraction of the delay", within=ranges.REVIVAL["jitter"])] = (
        0.1
    )
    revival_stable_after: Annotated[
        float,
        Setting("seconds of running after which earlier ends are forgotten", within=ranges.REVIVAL["stable_after"]),
    ] = 30.0
    revival_loop_limit: Annotated[
        int,
        Setting(
            "how often a node may end within the window; more is a crash loop", within=ranges.REVIVAL["loop_limit"]
        ),
    ] = 5
    revival_loop_window: Annotated[
        float, Setting("seconds of the window in which ends are counted", within=ranges.REVIVAL["loop_window"])
    ] = 60.0
    revival_retry_delay: Annotated[
        float, Setting("seconds between starts of a failed node; 0: never", within=ranges.REVIVAL["retry_delay"])
    ] = 60.0
    nice: Annotated[int, Setting("priority of nodes, -20 to 19", within=ranges.RESOURCES["nice"])] = 0
    memory_limit: Annotated[
        int, Setting("bytes of memory a node may have; 0: any", within=ranges.RESOURCES["memory"], zero=True)
    ] = 0
    open_files: Annotated[
        int,
        Setting(
            "descriptors a node may have; 0: as many as the system allows",
            within=ranges.RESOURCES["open_files"],
            zero=True,
        ),
    ] = 0
    core_limit: Annotated[
        int,
        Setting("bytes of the largest core a node may leave; 0: as the system has it", within=ranges.RESOURCES["core"]),
    ] = 0
    cgroups: Annotated[
        Literal["auto", "always"], Setting("control groups: for nodes with a memory limit (auto), or for all (always)")
    ] = "auto"
    crash_reports: Annotated[
        int,
        Setting("crash reports kept of each node; 0: none are written", within=Range(0, 10_000, "a number of reports")),
    ] = 10
    crash_days: Annotated[float, Setting("days that crash reports are kept; 0: for ever", within=ranges.DAYS)] = 30.0
    rotation_interval: Annotated[
        float, Setting("seconds after which loggers rotate a log; 0: never", within=ranges.DELAY)
    ] = 3600.0


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of rotated logs."""

    enabled: Annotated[bool, Setting("archive rotated logs", option="--archive")] = True
    directory: Annotated[
        str,
        Setting(
            "directory for archived logs; by default $LOGS_DIRECTORY of a systemd service, else 'logs' beside the"
            " spool, or /var/log/zeekfleet",
            names="path",
            option="--log-dir",
        ),
    ] = ""
    compression: Annotated[CompressionName, Setting("how archived logs are compressed: gzip, zstd or none")] = "gzip"
    expire_days: Annotated[
        int, Setting("days after which archived logs are removed; 0: never", within=Range(0, 100_000, "days"))
    ] = 0
    disk_watermark: Annotated[
        float,
        Setting(
            "percent of the disk above which the oldest archived logs are removed; 0: never",
            within=Range(0, 99.9, "a percentage"),
        ),
    ] = 0.0
    command: Annotated[
        str,
        Setting(
            "program that archives instead, with {queue} and {logs} in it, or run as 'COMMAND -1 QUEUE LOGS'",
            names="command",
        ),
    ] = ""
    interval: Annotated[float, Setting("seconds between two runs of --archive-command", within=ranges.SECONDS)] = 3600.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; a daemon uses the sections of its roles."""

    common: CommonSettings = msgspec.field(default_factory=CommonSettings)
    controller: ControllerSettings = msgspec.field(default_factory=ControllerSettings)
    agent: AgentSettings = msgspec.field(default_factory=AgentSettings)
    supervisor: SupervisorSettings = SupervisorSettings()
    archive: ArchiveSettings = ArchiveSettings()


def service_directory(variable: str, environment: Mapping[str, str] = os.environ) -> str:
    """The directory that systemd has made for this service and named in a variable; empty if there is none.

    Args:
        variable: ``STATE_DIRECTORY`` or ``LOGS_DIRECTORY`` (systemd.exec(5)); of several directories the first counts.
        environment: the environment variables.
    """
    return environment.get(variable, "").partition(":")[0]


def _default_directory(kind: str) -> str:
    """systemd's place for a service, the system's for root, a place of the user's own for others."""
    if state := service_directory(variables.STATE_DIRECTORY):
        # Both in one: systemd mounts each directory by itself, and files cannot be moved from one mount to another.
        return state if kind == "lib" else f"{state}/{kind}"
    if os.geteuid() == 0:
        return f"/var/{kind}/zeekfleet"
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return f"{home}/zeekfleet/{kind}"


def hostname() -> str:
    """This host's name, as agents and controllers are named after it."""
    return socket.gethostname() or defaults.LOCALHOST


def _named_after_host(kind: str) -> str:
    return shortened(f"{kind}-{hostname()}")
