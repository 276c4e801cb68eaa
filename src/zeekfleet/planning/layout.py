"""How a real ``zeek`` becomes a cluster node without Zeek's own Supervisor.

Zeek reads the topology from ``cluster-layout.zeek`` on its ZEEKPATH if the
variable CLUSTER_NODE names the node (docs/zeek-facts.md, section 1). Settings of
the cluster back end and the node's WebSocket are in a second file, because Zeek
reads the layout before it loads the back end. A node that is not part of a cluster
gets neither file.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from zeekfleet.model import defaults
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import Address
from zeekfleet.planning.zeek_text import zeek_address, zeek_string
from zeekfleet.planning.zeek_versions import LISTEN_ADDR, SINGLE_SCRIPT_BACKENDS, ZEROMQ_QUEUE_LIMITS, ZeekVersion

LAYOUT_FILE = "cluster-layout.zeek"
"""The file name that Zeek looks for."""

LAUNCH_FILE = "zeekfleet-launch.zeek"
"""Our second file, in the same directory."""

STATUS_FILE = ".status"
"""The file in which Zeek reports its status, relative to the node's directory."""

LOOPBACK = Address(defaults.LOOPBACK)


class Backend(enum.Enum):
    """How the nodes of a Zeek cluster talk to each other."""

    ZEROMQ = "zeromq"
    BROKER = "broker"


class ZeekSettings(msgspec.Struct, frozen=True):
    """What launching a Zeek needs in addition to the node's own configuration.

    Attributes:
        program: the ``zeek`` to run.
        zeekpath: its script path, as ``zeek-config --zeekpath`` prints it.
        version: its version.
        backend: the cluster back end to load.
        zeromq_xpub_port: where the hub in the manager sends; two clusters on one host need different ports.
        zeromq_xsub_port: where the hub receives.
        user_scripts: the scripts that every node loads before its own.
        management_script: our script for managed nodes; None to launch without it.
        websocket_port: where this node listens for WebSocket clients, if it may (see :func:`may_open_websocket`).
        websocket_address: the address on which it does.
        log_queue: the directory for rotated logs; None leaves rotation to Zeek's own settings.
        rotation_interval: seconds between two rotations of a log; 0 for no rotation.
    """

    program: str
    zeekpath: str
    version: ZeekVersion = (9, 0, 0)
    backend: Backend = Backend.ZEROMQ
    zeromq_xpub_port: int = defaults.XPUB_PORT
    zeromq_xsub_port: int = defaults.XSUB_PORT
    user_scripts: tuple[str, ...] = ("local",)
    management_script: str | None = None
    websocket_port: int | None = None
    websocket_address: Address = LOOPBACK
    log_queue: str | None = None
    rotation_interval: float = 3600.0


def in_cluster(config: NodeConfig) -> bool:
    """Whether the node is listed in its own cluster table."""
    return config.name in config.cluster


def may_open_websocket(config: NodeConfig, backend: Backend) -> bool:
    """Whether this node can accept WebSocket clients.

    A logger cannot: with ZeroMQ each client's own back end tries to bind the port on
    which the logger receives logs, and the handshake never completes. The same is
    true for a manager that replaces the logger, unless it is the only node and so
    receives no logs.
    """
    if not in_cluster(config):
        return False
    role = config.cluster[config.name].role
    if role is ClusterRole.LOGGER:
        return False
    return backend is Backend.BROKER or role is not ClusterRole.MANAGER or not _receives_logs(config)


def spans_hosts(hosts: Iterable[Address]) -> bool:
    """Whether these addresses of nodes belong to more than one host."""
    return len(set(hosts)) > 1


def metrics_address(config: NodeConfig) -> Address:
    """Where the node serves Prometheus metrics: on loopback, but on its own address if the cluster spans hosts."""
    hosts = (endpoint.host for endpoint in config.cluster.values())
    return config.cluster[config.name].host if spans_hosts(hosts) else LOOPBACK


def writes_logs(config: NodeConfig) -> bool:
    """Whether the node writes the cluster's logs: a logger does, or the manager if there is no logger."""
    if not in_cluster(config):
        return False
    role = config.cluster[config.name].role
    return role is ClusterRole.LOGGER or (role is ClusterRole.MANAGER and not _has_logger(config))


def _receives_logs(manager: NodeConfig) -> bool:
    return not _has_logger(manager) and len(manager.cluster) > 1


def _has_logger(config: NodeConfig) -> bool:
    return any(endpoint.role is ClusterRole.LOGGER for endpoint in config.cluster.values())


def files(config: NodeConfig, settings: ZeekSettings) -> dict[str, str]:
    """The files to write into the node's directory: name to content. Empty for a node outside a cluster."""
    if not in_cluster(config):
        return {}
    return {LAYOUT_FILE: cluster_layout(config), LAUNCH_FILE: launch_script(config, settings)}


def cluster_layout(config: NodeConfig) -> str:
    """The content of ``cluster-layout.zeek``."""
    manager = _manager(config)
    lines = ["redef Cluster::nodes = {"]
    lines += [f"\t{_layout_row(name, config.cluster[name], manager)}" for name in sorted(config.cluster)]
    lines += ["};", f"redef Cluster::manager_is_logger = {'F' if _has_logger(config) else 'T'};", ""]
    return "\n".join(lines)


def _manager(config: NodeConfig) -> str | None:
    return min(
        (name for name, endpoint in config.cluster.items() if endpoint.role is ClusterRole.MANAGER), default=None
    )


def _layout_row(name: str, endpoint: ClusterEndpoint, manager: str | None) -> str:
    fields = [f"$node_type=Cluster::{endpoint.role.name}", f"$ip={zeek_address(endpoint.host)}"]
    if endpoint.p.number:
        fields.append(f"$p={endpoint.p}")
    if manager is not None and name != manager:
        fields.append(f"$manager={zeek_string(manager)}")
    if endpoint.metrics_port:
        fields.append(f"$metrics_port={endpoint.metrics_port}")
    return f"[{zeek_string(name)}] = [{', '.join(fields)}],"


def launch_script(config: NodeConfig, settings: ZeekSettings) -> str:
    """The content of our second file. It is loaded right after the back end, so that later scripts can override it."""
    lines = ["@load base/frameworks/cluster", "@load base/frameworks/telemetry"]
    reads_trace = any(endpoint.pcap_file is not None for endpoint in config.cluster.values())
    if settings.backend is Backend.ZEROMQ:
        lines += _zeromq_lines(config, settings)
        if reads_trace:
            lines += _LOSSLESS_ZEROMQ
            lines += () if writes_logs(config) else _LINGERING_ZEROMQ
            lines += _UNLIMITED_EVENTS if settings.version >= ZEROMQ_QUEUE_LIMITS else ()
    else:
        # Without this, Broker listens on every address of the host.
        lines.append(f"redef Broker::default_listen_address = {zeek_string(config.cluster[config.name].host)};")
        lines += _LOSSLESS_BROKER if reads_trace else ()
    if config.cluster[config.name].metrics_port:
        lines.append(f"redef Telemetry::metrics_address = {zeek_string(metrics_address(config))};")
    if settings.log_queue is not None:
        lines += _rotation_lines(config, settings, settings.log_queue)
    if settings.websocket_port is not None and may_open_websocket(config, settings.backend):
        lines += _websocket_lines(config, settings, settings.websocket_port)
    return "\n".join([*lines, ""])


_LOSSLESS_ZEROMQ = (
    "redef Cluster::Backend::ZeroMQ::log_sndhwm = 0;",
    "redef Cluster::Backend::ZeroMQ::log_rcvhwm = 0;",
)
"""Unlimited queues: Zeek reads a trace faster than live traffic, and full queues would drop log lines."""

_LOSSLESS_BROKER = ("redef Broker::peer_buffer_size = 1000000000;",)
"""The same for Broker. By default it silently drops the oldest message when 8,192 wait for a peer."""

_LINGERING_ZEROMQ = ("redef Cluster::Backend::ZeroMQ::linger_ms = -1;",)
"""A node that ends waits until its log lines and events have been received; its grace limits the wait.

This is not set for a node that writes the logs: it sends no log lines, and it ends after the hub. Its last messages
could not be received any more, so it would wait for ever.
"""

_UNLIMITED_EVENTS = (
    "redef Cluster::Backend::ZeroMQ::xpub_sndhwm = 0;",
    "redef Cluster::Backend::ZeroMQ::onloop_queue_hwm = 0;",
)


def _zeromq_lines(config: NodeConfig, settings: ZeekSettings) -> Iterator[str]:
    manager = _manager(config)
    hub = config.cluster[manager].host if manager is not None else LOOPBACK
    xpub = zeek_string(f"tcp://{zeek_address(hub)}:{settings.zeromq_xpub_port}")
    xsub = zeek_string(f"tcp://{zeek_address(hub)}:{settings.zeromq_xsub_port}")
    # A node's sending socket (XPUB) connects to the hub's receiving one (XSUB), and the other way round.
    yield f"redef Cluster::Backend::ZeroMQ::listen_xpub_endpoint = {xpub};"
    yield f"redef Cluster::Backend::ZeroMQ::listen_xsub_endpoint = {xsub};"
    yield f"redef Cluster::Backend::ZeroMQ::connect_xpub_endpoint = {xsub};"
    yield f"redef Cluster::Backend::ZeroMQ::connect_xsub_endpoint = {xpub};"
    if any(endpoint.host.version == 6 for endpoint in config.cluster.values()):
        yield "redef Cluster::Backend::ZeroMQ::ipv6 = T;"
    if config.name == manager and not _has_logger(config) and not _receives_logs(config):
        yield 'redef Cluster::Backend::ZeroMQ::listen_log_endpoint = "";'


def _rotation_lines(config: NodeConfig, settings: ZeekSettings, queue: str) -> Iterator[str]:
    # By default Zeek runs zeekctl's archive-log on every rotated log.
    yield 'redef Log::default_rotation_postprocessor_cmd = "";'
    if not writes_logs(config):
        return
    yield f"redef Log::default_rotation_interval = {settings.rotation_interval:.6f} secs;"
    yield f"redef Log::default_rotation_dir = {zeek_string(queue)};"
    yield "redef Log::rotation_format_func = archiver_rotation_format_func;"
    # When a crashed logger starts again, it rotates the logs that it had left in its directory.
    yield "redef LogAscii::enable_leftover_log_rotation = T;"


def _websocket_lines(config: NodeConfig, settings: ZeekSettings, port: int) -> Iterator[str]:
    where = zeek_address(settings.websocket_address)
    complaint = f"node {config.name} cannot listen for WebSocket clients on {where}:{port}"
    listen = f"$listen_addr={where}"
    if settings.version < LISTEN_ADDR:
        listen = f"$listen_host={zeek_string(settings.websocket_address)}"
    yield "event zeek_init()"
    yield "\t{"
    yield f"\tif ( ! Cluster::listen_websocket([{listen}, $listen_port={port}/tcp]) )"
    yield f"\t\tReporter::fatal({zeek_string(complaint)});"
    yield "\t}"


def command_line(config: NodeConfig, settings: ZeekSettings, *, directory: str, bare_mode: bool) -> tuple[str, ...]:
    """The program and its arguments.

    Scripts come in the order base, ``addl_base_scripts``, the user's,
    ``addl_user_scripts`` (docs/protocol.md, section 5). Zeek reads every entry with
    ``=`` as a setting (``Name::option=value``).

    Args:
        directory: the node's directory, in which :func:`files` are.
        bare_mode: the default for a node whose configuration has no ``bare_mode``.
    """
    bare = bare_mode if config.bare_mode is None else config.bare_mode
    argv = [settings.program, *(["-b"] if bare else [])]
    if config.interface is not None:
        argv += ["-i", config.interface]
    if config.pcap_file is not None:
        argv += ["-r", config.pcap_file]
    argv += ["-U", STATUS_FILE]
    scripts = [*config.addl_base_scripts, *settings.user_scripts]
    if in_cluster(config):
        scripts.insert(0, f"{directory}/{LAUNCH_FILE}")
        scripts[:0] = _backend_scripts(settings)
        scripts += [settings.management_script] if settings.management_script else []
    scripts += config.addl_user_scripts
    return (*argv, *(_no_option(script) for script in scripts))


def _backend_scripts(settings: ZeekSettings) -> list[str]:
    whole = f"frameworks/cluster/backend/{settings.backend.value}"
    if settings.version >= SINGLE_SCRIPT_BACKENDS:
        return [whole]
    return [f"{whole}/connect"] if settings.backend is Backend.ZEROMQ else []


def _no_option(script: str) -> str:
    """The script's path, changed if Zeek would read it as a command line option."""
    return f"./{script}" if script.startswith("-") else script


NO_DOCUMENTATION = "ZEEK_DISABLE_ZEEKYGEN"
"""Zeek's own variable that keeps it from collecting script comments, which takes a sixth of a start's time."""

_UNDOCUMENTED = {NO_DOCUMENTATION: "1"}


def script_path(directory: str, zeekpath: str) -> str:
    """The node's directory, then ``zeekpath``. The directory is also the working directory, so ``.`` is left out."""
    return ":".join([directory, *(place for place in zeekpath.split(":") if place not in (".", directory))])


def environment(
    config: NodeConfig, settings: ZeekSettings, *, directory: str, base: Mapping[str, str]
) -> dict[str, str]:
    """The node's whole environment: ``base``, overridden by its own variables, and those by what a cluster needs.

    Args:
        directory: the node's directory, which is put in front of the script path.
        base: what every node's environment begins with.
    """
    variables = {**_UNDOCUMENTED, **base, **config.env}
    if not variables[NO_DOCUMENTATION]:  # Zeek only looks whether the variable exists, not at its value
        del variables[NO_DOCUMENTATION]
    variables["ZEEKPATH"] = script_path(directory, config.env.get("ZEEKPATH", settings.zeekpath))
    variables.pop("CLUSTER_NODE", None)
    if in_cluster(config):
        variables["CLUSTER_NODE"] = config.name
    return variables
