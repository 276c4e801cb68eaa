"""Every setting of the daemons, declared once: type, default, option, environment variable, TOML key.

Precedence: option, environment variable, settings file, default. A section here
is a table of the settings file; a field's name is its key there.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from zeekfleet.model.names import shortened

EngineName = Literal["auto", "zeek", "sim"]
BackendName = Literal["zeromq", "broker"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
CompressionName = Literal["gzip", "zstd", "none"]
PortNumber = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Delay = Annotated[float, msgspec.Meta(ge=0, le=31 * 86400)]

DEFAULT_GROUP = "zeekfleet"
"""Whose members are served by default, on a host that has this group."""


class Source(msgspec.Struct, frozen=True):
    """Where a setting can be given beside the settings file, and what it means.

    ``option`` is its name where the daemon has one role, ``tree_option`` where
    ``zeekfleet up`` has several. ``names`` says what a text means beyond itself: a
    ``path``, the program of a ``command``, or the ``host`` to listen at. A relative
    path begins where its writer was: beside the settings file, or in the current
    directory.
    """

    help: str
    option: str
    environment: str = ""
    tree_option: str = ""
    names: Literal["", "path", "command", "host"] = ""


class CommonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all daemons share."""

    state_dir: Annotated[
        str,
        Source("directory for what must outlive the daemon", "--state-dir", "ZEEK_MANAGEMENT_STATE_DIR", names="path"),
    ] = msgspec.field(default_factory=lambda: _default_directory("lib"))
    spool_dir: Annotated[
        str, Source("directory for rotated logs on their way", "--spool-dir", "ZEEK_MANAGEMENT_SPOOL_DIR", names="path")
    ] = msgspec.field(default_factory=lambda: _default_directory("spool"))
    log_format: Annotated[LogFormat, Source("form of the log on stderr", "--log-format", "ZEEKFLEET_LOG_FORMAT")] = (
        "text"
    )
    log_level: Annotated[LogLevel, Source("least level that is logged", "--log-level", "ZEEKFLEET_LOG_LEVEL")] = "info"
    management_log_format: Annotated[
        Literal["tsv", "json"],
        Source("form of management-<name>.log", "--management-log-format", "ZEEKFLEET_MANAGEMENT_LOG_FORMAT"),
    ] = "tsv"
    output_limit: Annotated[
        Annotated[int, msgspec.Meta(ge=4096, le=2**40)],
        Source("bytes of a management log, or of a process's output, before it is rotated", "--output-limit",
               "ZEEKFLEET_OUTPUT_LIMIT"),
    ] = 16 * 2**20  # fmt: skip
    output_kept: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=1000)],
        Source("rotated files that are kept of each", "--output-kept", "ZEEKFLEET_OUTPUT_KEPT"),
    ] = 3
    frame_limit: Annotated[
        Annotated[int, msgspec.Meta(ge=1024, le=2**30)],
        Source("largest WebSocket frame accepted, in bytes", "--frame-limit", "ZEEKFLEET_FRAME_LIMIT"),
    ] = 16 * 2**20
    connect_retry: Annotated[
        Seconds, Source("first delay before a lost connection is tried again, seconds", "--connect-retry")
    ] = 0.2
    allow_user: Annotated[
        str,
        Source("users of this host that are served beside root and our own, by name or number, separated by commas",
               "--allow-user", "ZEEKFLEET_ALLOW_USER", "--allow-user"),
    ] = ""  # fmt: skip
    allow_group: Annotated[
        str,
        Source("groups of this host whose members are served; the default one need not exist",
               "--allow-group", "ZEEKFLEET_ALLOW_GROUP", "--allow-group"),
    ] = DEFAULT_GROUP  # fmt: skip
    server_name: Annotated[
        str,
        Source("further names by which web browsers and clients on this host may call it, separated by commas",
               "--server-name", "ZEEKFLEET_SERVER_NAME", "--server-name"),
    ] = ""  # fmt: skip


class ControllerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The controller's own."""

    name: Annotated[str, Source("the controller's name", "--name", "ZEEK_CONTROLLER_NAME", "--controller-name")] = (
        msgspec.field(default_factory=lambda: _named_after_host("controller"))
    )
    websocket_listen: Annotated[
        str,
        Source(
            "address for clients",
            "--websocket-listen",
            "ZEEK_CONTROLLER_WEBSOCKET_ADDR",
            "--websocket-listen",
            names="host",
        ),
    ] = "127.0.0.1"
    websocket_port: Annotated[
        PortNumber,
        Source(
            "port for clients; 0 switches it off", "--websocket-port", "ZEEK_CONTROLLER_WEBSOCKET_PORT",
            "--websocket-port",
        ),
    ] = 2149  # fmt: skip
    listen: Annotated[
        str, Source("address for agents", "--listen", "ZEEK_CONTROLLER_ADDR", "--controller-listen", names="host")
    ] = "127.0.0.1"
    port: Annotated[
        PortNumber, Source("port for agents; 0 switches it off", "--port", "ZEEK_CONTROLLER_PORT", "--controller-port")
    ] = 2150
    request_timeout: Annotated[
        Seconds, Source("base of the requests' deadlines, seconds", "--request-timeout", "ZEEKFLEET_CONTROLLER_TIMEOUT",
                        "--controller-request-timeout")
    ] = 10.0  # fmt: skip
    instance_wait: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=86400)],
        Source("seconds that a deployment waits for instances that are not there; 0: the request time-out",
               "--instance-wait", "ZEEKFLEET_INSTANCE_WAIT", "--instance-wait"),
    ] = 0.0  # fmt: skip
    auto_assign_ports: Annotated[
        bool,
        Source("give nodes missing listening ports", "--auto-assign-ports", tree_option="--auto-assign-ports"),
    ] = True
    auto_assign_start_port: Annotated[
        PortNumber,
        Source("where assigned listening ports start", "--auto-assign-start-port",
               tree_option="--auto-assign-start-port"),
    ] = 2200  # fmt: skip
    auto_assign_metrics_ports: Annotated[
        bool,
        Source("give nodes the metrics ports they lack", "--auto-assign-metrics-ports",
               tree_option="--auto-assign-metrics-ports"),
    ] = True  # fmt: skip
    auto_assign_metrics_start_port: Annotated[
        PortNumber,
        Source("where assigned metrics ports start", "--auto-assign-metrics-start-port",
               tree_option="--auto-assign-metrics-start-port"),
    ] = 9000  # fmt: skip
    check_before_deploy: Annotated[
        bool,
        Source("have agents check a configuration before it is deployed", "--check-before-deploy",
               "ZEEKFLEET_CHECK_BEFORE_DEPLOY", "--check-before-deploy"),
    ] = True  # fmt: skip
    tls_certificate: Annotated[
        str,
        Source("PEM certificate for clients' TLS", "--tls-certificate", tree_option="--tls-certificate", names="path"),
    ] = ""
    tls_key: Annotated[
        str, Source("PEM file with the certificate's private key", "--tls-key", tree_option="--tls-key", names="path")
    ] = ""
    tls_ca: Annotated[
        str,
        Source(
            "PEM file with the authorities that clients' certificates need",
            "--tls-ca",
            tree_option="--tls-ca",
            names="path",
        ),
    ] = ""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's own."""

    name: Annotated[str, Source("the agent's name", "--name", "ZEEK_AGENT_NAME", "--agent-name")] = msgspec.field(
        default_factory=lambda: _named_after_host("agent")
    )
    listen: Annotated[
        str, Source("address to listen on", "--listen", "ZEEK_AGENT_ADDR", "--agent-listen", names="host")
    ] = "127.0.0.1"
    port: Annotated[
        PortNumber, Source("port to listen on; 0 takes any free one", "--port", "ZEEK_AGENT_PORT", "--agent-port")
    ] = 2151
    controller: Annotated[
        str,
        Source("HOST:PORT of the controller, or none to wait for it", "--controller", "ZEEKFLEET_CONTROLLER",
               "--controller"),
    ] = "127.0.0.1:2150"  # fmt: skip
    controller_hold: Annotated[
        Delay,
        Source("seconds that a controller which is gone has to come back before another may take its place",
               "--controller-hold", "ZEEKFLEET_CONTROLLER_HOLD"),
    ] = 30.0  # fmt: skip
    request_timeout: Annotated[
        Seconds, Source("base of the requests' deadlines, seconds", "--request-timeout", "ZEEKFLEET_AGENT_TIMEOUT",
                        "--agent-request-timeout")
    ] = 5.0  # fmt: skip
    health_interval: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=86400)],
        Source("seconds between health checks of a node; 0: none", "--health-interval", "ZEEKFLEET_HEALTH_INTERVAL"),
    ] = 10.0
    health_misses: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1000)],
        Source("unanswered health checks in a row that make a node a failed one", "--health-misses"),
    ] = 3
    start_limit: Annotated[
        Seconds, Source("seconds for a started node to say hello", "--start-limit", "ZEEKFLEET_START_LIMIT")
    ] = 60.0
    health_restart: Annotated[
        bool, Source("restart nodes that do not answer, or never say hello", "--health-restart")
    ] = True
    peer_limit: Annotated[
        Seconds,
        Source("seconds that a running node may lack a connection to a node that it needs before that is told",
               "--peer-limit", "ZEEKFLEET_PEER_LIMIT"),
    ] = 30.0  # fmt: skip
    departed_days: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=36_500)],
        Source("days that the directory of a node is kept that has left the configuration; 0: for ever",
               "--departed-days", "ZEEKFLEET_DEPARTED_DAYS"),
    ] = 30.0  # fmt: skip
    group_wait: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=86400)],
        Source("seconds to wait at most for a group of nodes before the next may begin; 0: a fifth of all",
               "--group-wait", "ZEEKFLEET_GROUP_WAIT"),
    ] = 0.0  # fmt: skip


class SupervisorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What runs the nodes of a host."""

    port: Annotated[
        PortNumber,
        Source("loopback port for SupervisorControl; 0 takes any free one", "--supervisor-port",
               "ZEEKFLEET_SUPERVISOR_PORT", "--supervisor-port"),
    ] = 9999  # fmt: skip
    engine: Annotated[
        EngineName, Source("what a node is: zeek, sim, or auto", "--engine", "ZEEKFLEET_ENGINE", "--engine")
    ] = "auto"
    backend: Annotated[
        BackendName, Source("cluster back end of real Zeek nodes", "--backend", "ZEEKFLEET_BACKEND", "--backend")
    ] = "zeromq"
    zeromq_xpub_port: Annotated[
        PortNumber,
        Source(
            "outgoing port of the manager's ZeroMQ hub; 0: 5555, or a free one on one host",
            "--zeromq-xpub-port",
            "ZEEKFLEET_ZEROMQ_XPUB_PORT",
            "--zeromq-xpub-port",
        ),
    ] = 0
    zeromq_xsub_port: Annotated[
        PortNumber,
        Source(
            "incoming port of the manager's ZeroMQ hub; 0: 5556, or a free one on one host",
            "--zeromq-xsub-port",
            "ZEEKFLEET_ZEROMQ_XSUB_PORT",
            "--zeromq-xsub-port",
        ),
    ] = 0
    bare_mode: Annotated[bool, Source("start nodes in bare mode", "--bare-mode", tree_option="--bare-mode")] = False
    exit_lines: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=100_000)],
        Source("lines of each stream in a node's exit report", "--exit-lines", tree_option="--exit-lines"),
    ] = 100
    grace: Annotated[Seconds, Source("seconds between SIGTERM and SIGKILL", "--grace", tree_option="--grace")] = 10.0
    grace_ceiling: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=86400)],
        Source("seconds that a node that writes logs may take to stop while it still writes; 0: only its grace",
               "--grace-ceiling", "ZEEKFLEET_GRACE_CEILING", "--grace-ceiling"),
    ] = 300.0  # fmt: skip
    on_exit: Annotated[
        Literal["stop", "keep"],
        Source("what a stopped daemon does with its nodes: stop or keep", "--on-exit", "ZEEKFLEET_ON_EXIT"),
    ] = "stop"
    max_starting: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=100_000)],
        Source("requests to start nodes that are carried out at a time", "--max-starting"),
    ] = 64
    revival: Annotated[bool, Source("start nodes again that ended by themselves", "--revival")] = True
    revival_initial_delay: Annotated[
        Delay, Source("seconds before a second revival in a row; the first is at once", "--revival-initial-delay")
    ] = 0.5
    revival_factor: Annotated[
        Annotated[float, msgspec.Meta(ge=1, le=100)],
        Source("how many times longer each further one waits", "--revival-factor"),
    ] = 2.0
    revival_max_delay: Annotated[Delay, Source("seconds it waits at most", "--revival-max-delay")] = 30.0
    revival_jitter: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=10)],
        Source("by which part these waits are spread", "--revival-jitter"),
    ] = 0.1
    revival_stable_after: Annotated[
        Delay, Source("seconds of life after which earlier ends are forgotten", "--revival-stable-after")
    ] = 30.0
    revival_loop_limit: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)],
        Source("more ends than this within the window are a crash loop", "--revival-loop-limit"),
    ] = 5
    revival_loop_window: Annotated[Delay, Source("that window, in seconds", "--revival-loop-window")] = 60.0
    revival_retry_delay: Annotated[
        Delay, Source("seconds between starts of a failed node; 0: never", "--revival-retry-delay")
    ] = 60.0
    nice: Annotated[Annotated[int, msgspec.Meta(ge=-20, le=19)], Source("priority of nodes, -20 to 19", "--nice")] = 0
    memory_limit: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=2**62)],
        Source("bytes of memory a node may have; 0: any", "--memory-limit"),
    ] = 0
    open_files: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=2**31)],
        Source("descriptors a node may have; 0: as many as the system allows", "--open-files"),
    ] = 0
    core_limit: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=2**62)],
        Source("bytes of the largest core a node may leave; 0: as the system has it", "--core-limit"),
    ] = 0
    cgroups: Annotated[
        Literal["auto", "always"],
        Source("control groups: for nodes with a memory limit (auto), or for all (always)", "--cgroups"),
    ] = "auto"
    crash_reports: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=10_000)],
        Source("crash reports kept of each node; 0: none are written", "--crash-reports"),
    ] = 10
    crash_days: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=36_500)],
        Source("days that they are kept; 0: for ever", "--crash-days"),
    ] = 30.0
    rotation_interval: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=31 * 86400)],
        Source("seconds after which loggers rotate a log; 0: never", "--rotation-interval",
               "ZEEKFLEET_ROTATION_INTERVAL"),
    ] = 3600.0  # fmt: skip


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of rotated logs."""

    enabled: Annotated[bool, Source("archive rotated logs", "--archive", "ZEEKFLEET_ARCHIVE")] = True
    directory: Annotated[
        str, Source("directory for archived logs; by default 'logs' beside the spool, or /var/log/zeekfleet",
                    "--log-dir", "ZEEKFLEET_LOG_DIR", names="path")
    ] = ""  # fmt: skip
    compression: Annotated[
        CompressionName, Source("how they are compressed: gzip, zstd or none", "--archive-compression")
    ] = "gzip"
    expire_days: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=100_000)],
        Source("days after which archived logs are removed; 0: never", "--archive-expire-days"),
    ] = 0
    disk_watermark: Annotated[
        Annotated[float, msgspec.Meta(ge=0, lt=100)],
        Source("percent of the disk above which the oldest archived logs are removed; 0: never",
               "--archive-disk-watermark"),
    ] = 0.0  # fmt: skip
    command: Annotated[
        str, Source("program to run instead, with {queue} and {logs}, or as 'COMMAND -1 QUEUE LOGS'",
                    "--archive-command", names="command")
    ] = ""  # fmt: skip
    interval: Annotated[
        Seconds, Source("seconds between two runs of that program", "--archive-interval")
    ] = 3600.0  # fmt: skip


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; a daemon uses the sections of its roles."""

    common: CommonSettings = msgspec.field(default_factory=CommonSettings)
    controller: ControllerSettings = msgspec.field(default_factory=ControllerSettings)
    agent: AgentSettings = msgspec.field(default_factory=AgentSettings)
    supervisor: SupervisorSettings = SupervisorSettings()
    archive: ArchiveSettings = ArchiveSettings()


def _default_directory(kind: str) -> str:
    """The system's place for root, a place of the user's own for others."""
    if os.geteuid() == 0:
        return f"/var/{kind}/zeekfleet"
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return f"{home}/zeekfleet/{kind}"


def hostname() -> str:
    """This host's name, as agents and controllers are named after it."""
    return socket.gethostname() or "localhost"


def _named_after_host(kind: str) -> str:
    return shortened(f"{kind}-{hostname()}")
