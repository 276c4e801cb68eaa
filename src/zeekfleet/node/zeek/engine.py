"""The engine of real Zeek nodes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from zeekfleet.errors import LaunchError, SettingsError
from zeekfleet.model.launch import GRACE_CEILING, LaunchContext, LaunchSpec
from zeekfleet.model.names import LOG_QUEUE
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import MAILBOX, WEBSOCKET_PORT
from zeekfleet.node.link import websocket_port
from zeekfleet.node.zeek.cluster_settings import ClusterSettings
from zeekfleet.node.zeek.curve import PREFIX, curve_variables
from zeekfleet.node.zeek.installation import Installation, find
from zeekfleet.node.zeek.links import ZeekLinks
from zeekfleet.node.zeek.parse import parse
from zeekfleet.node.zeek.status_files import StatusFiles
from zeekfleet.planning import layout, listeners, parsing
from zeekfleet.planning.checks import Needs
from zeekfleet.planning.cluster_variables import DEFAULT_HUB_PORTS, read_hub_ports
from zeekfleet.planning.layout import Backend, ZeekSettings
from zeekfleet.planning.mailbox import MAILBOX_DIRECTORY, REQUESTS_FILE, needs_mailbox
from zeekfleet.planning.node_settings import cpus_of
from zeekfleet.planning.zeek_versions import zeromq_problem
from zeekfleet.system.privileges import acting_as
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Connections

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL. A quiet Zeek needs two to end, one that has to write logs needs more."""


class ZeekOptions(msgspec.Struct, frozen=True):
    """The operator's options for all nodes.

    Attributes:
        backend: the cluster back end.
        zeromq_xpub_port: the port on which the hub sends; 0 for the agent's choice, or else Zeek's default.
        zeromq_xsub_port: the port on which the hub receives; 0 likewise.
        user_scripts: the scripts that every node loads before its own.
        rotation_interval: seconds after which a log is rotated into the log queue; 0 for never.
    """

    backend: Backend = Backend.ZEROMQ
    zeromq_xpub_port: int = 0
    zeromq_xsub_port: int = 0
    user_scripts: tuple[str, ...] = ("local",)
    rotation_interval: float = 3600.0

    @property
    def hub_ports(self) -> tuple[int, int]:
        """The hub's ports for a node to which no agent has given any."""
        return self.zeromq_xpub_port or DEFAULT_HUB_PORTS[0], self.zeromq_xsub_port or DEFAULT_HUB_PORTS[1]


class ZeekEngine:
    """Launches real Zeeks.

    Attributes:
        name: ``zeek``.
        reads_traffic: true.
        has_start_barrier: true, since ``zeekfleet-hold.zeek`` can make a node wait before it starts working.

    Args:
        installation: the Zeek to run; by default the one on PATH, which is looked for when it is needed.
        options: the operator's options.
        search_path: replaces PATH in the search.
    """

    name = "zeek"
    reads_traffic = True
    has_start_barrier = True

    def __init__(
        self,
        installation: Installation | None = None,
        options: ZeekOptions | None = None,
        search_path: str | None = None,
    ) -> None:
        self._found = installation
        self._search_path = search_path
        self._options = options or ZeekOptions()

    @property
    def _installation(self) -> Installation:
        if self._found is None:
            self._found = find(self._search_path)
        return self._found

    @property
    def description(self) -> str:
        """Zeek's version and path."""
        return f"Zeek {self._installation.version_text} at {self._installation.program}"

    def prepare(self) -> None:
        """Find the Zeek on PATH and ask for its version, unless that is done.

        Raises:
            ConfigurationError: there is no Zeek, or it cannot be used.
        """
        _ = self._installation

    def links(self, bus: Bus, connections: Connections, directory: Path) -> ZeekLinks:
        """The agent dials one node; some others it reaches through mailboxes."""
        hub_ports = (self._options.zeromq_xpub_port, self._options.zeromq_xsub_port)
        cluster = ClusterSettings(directory, hub_ports)
        return ZeekLinks(bus, connections, self._options.backend, cluster, StatusFiles())

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """How to run the node.

        Raises:
            LaunchError: the node cannot be run as configured.
        """
        self._refuse(config, context)
        return self._spec(config, context)

    def _spec(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        try:
            port = websocket_port(config.env)
        except SettingsError as error:
            raise LaunchError(config.name, str(error)) from error
        settings = self._settings(port, self._hub_ports(config), context)
        environment = layout.environment(config, settings, directory=context.directory, base=context.environment)
        environment |= self._zeromq_keys(config)
        files = layout.files(config, settings)
        # Overwrite the status of the node's former process, which may say RUNNING.
        files[layout.STATUS_FILE] = "STARTING\n"
        environment.pop(MAILBOX, None)
        if not layout.may_open_websocket(config, settings.backend):
            environment.pop(WEBSOCKET_PORT, None)
        if needs_mailbox(config, settings.backend):
            environment[MAILBOX] = f"{context.directory}/{MAILBOX_DIRECTORY}"
            files[f"{MAILBOX_DIRECTORY}/{REQUESTS_FILE}"] = ""
        return LaunchSpec(
            name=config.name,
            argv=layout.command_line(config, settings, directory=context.directory, bare_mode=context.bare_mode),
            env=environment,
            directory=context.directory,
            stdout_file=context.stdout_file,
            stderr_file=context.stderr_file,
            files=files,
            cpu_affinity=config.cpu_affinity,
            grace=GRACE,
            grace_ceiling=GRACE_CEILING if layout.writes_logs(config) else 0.0,
        )

    def _zeromq_keys(self, config: NodeConfig) -> dict[str, str]:
        if self._options.backend is not Backend.ZEROMQ:
            return {}
        keys = curve_variables(config)
        encrypted = any(variable.startswith(PREFIX) for variable in (*config.env, *keys))
        if problem := self._zeromq_problem(config, encrypted=encrypted):
            raise LaunchError(config.name, problem)
        return keys

    def _zeromq_problem(self, config: NodeConfig, *, encrypted: bool) -> str | None:
        if self._options.backend is not Backend.ZEROMQ or not layout.in_cluster(config):
            return None
        return zeromq_problem(config, self._installation.version, encrypted=encrypted)

    def _refuse(self, config: NodeConfig, context: LaunchContext) -> None:
        if config.interface is not None and config.pcap_file is not None:
            raise LaunchError(config.name, "it has interface and pcap_file set")
        for place in (context.directory, management_script()):
            if "=" in place:
                reason = f"there is an equals sign in the path {place}, which Zeek would take for a setting of its own"
                raise LaunchError(config.name, reason)
        # Zeek renames logs into the queue. If it cannot, a logger that has crashed fails at every later start.
        if not self._options.rotation_interval or not layout.writes_logs(config):
            return
        directory, spool = Path(context.directory), Path(context.spool_directory)
        if _file_system(directory) != _file_system(spool):
            reason = f"its directory {directory} and the spool {spool} are on different file systems"
            raise LaunchError(config.name, f"{reason}; logs could not be rotated")

    @property
    def program(self) -> str:
        """The ``zeek`` that nodes run."""
        return self._installation.program

    def needs(self, config: NodeConfig) -> Needs:
        """What the node needs of its host."""
        places = listeners.of_zeek(config, self._options.backend, self._hub_ports(config))
        return Needs(config.name, config.interface, cpus_of(config), places)

    async def check(self, config: NodeConfig, context: LaunchContext, scratch: Path) -> list[str]:
        """Zeek's own errors about the node's scripts and settings, and whether its trace can be read.

        Raises:
            LaunchError: the node cannot be launched as configured.
            OSError: Zeek cannot be run.
        """
        self._refuse(config, context)
        # The agent receives the keys only with the deployment.
        will_have_keys = layout.spans_hosts(endpoint.host for endpoint in config.cluster.values())
        if problem := self._zeromq_problem(config, encrypted=will_have_keys):
            return [problem]
        spec = self._spec(config, msgspec.structs.replace(context, directory=str(scratch)))
        with acting_as(context.user):
            for name, content in spec.files.items():
                (scratch / name).parent.mkdir(exist_ok=True)
                (scratch / name).write_text(content)
        # Zeek must find the new layout, in the scratch directory, before the present one in the node's directory.
        zeekpath = f"{scratch}:{context.directory}:{spec.env['ZEEKPATH'].removeprefix(f'{scratch}:')}"
        environment = {**spec.env, **parsing.VARIABLES, "ZEEKPATH": zeekpath}
        command = parsing.command_line(spec.argv, context.directory)
        errors = await parse(command, environment, scratch, user=context.user)
        found = [error.replace(str(scratch), context.directory) for error in errors]
        with acting_as(context.user):
            return [*found, *unreadable_trace(config, context.directory)]

    def _hub_ports(self, config: NodeConfig) -> tuple[int, int]:
        """The agent's choice, else the operator's, else Zeek's default."""
        try:
            told = read_hub_ports(config.env)
        except SettingsError as error:
            raise LaunchError(config.name, str(error)) from error
        return told or self._options.hub_ports

    def _settings(self, port: int | None, hub_ports: tuple[int, int], context: LaunchContext) -> ZeekSettings:
        return ZeekSettings(
            program=self._installation.program,
            zeekpath=self._installation.zeekpath,
            version=self._installation.version,
            backend=self._options.backend,
            zeromq_xpub_port=hub_ports[0],
            zeromq_xsub_port=hub_ports[1],
            user_scripts=self._options.user_scripts,
            management_script=management_script(),
            websocket_port=port,
            log_queue=f"{context.spool_directory}/{LOG_QUEUE}",
            rotation_interval=self._options.rotation_interval,
        )


def unreadable_trace(config: NodeConfig, directory: str) -> list[str]:
    """Why the trace cannot be read, as a list with one text; empty if it can be read."""
    if config.pcap_file is None:
        return []
    try:
        with (Path(directory) / config.pcap_file).open("rb"):
            return []
    except OSError as error:
        return [f"trace file {config.pcap_file} cannot be read: {error.strerror}"]


def _file_system(path: Path) -> int | None:
    """The device of the path, or of its nearest existing parent; None if that is unknown."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            return place.stat().st_dev
    return None


def management_script() -> str:
    """The absolute path of our script for managed nodes.

    It must stay the same in later releases: a node that was launched before an upgrade is revived with this path.
    """
    return str(Path(__file__).parents[1] / "scripts" / "zeekfleet-node.zeek")
