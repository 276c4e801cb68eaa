"""The process tree of a host: a supervisor in the foreground, its stem, and below it agent, controller and nodes."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from zeekfleet.broker import topics
from zeekfleet.daemon import buses, journal, node_user, readiness
from zeekfleet.daemon.access import access_control
from zeekfleet.daemon.directories import SETTINGS_FILE, check_name, held, node_directory, prepare
from zeekfleet.daemon.engine_options import zeek_options
from zeekfleet.daemon.exits import log_exit
from zeekfleet.daemon.journal import News
from zeekfleet.daemon.launch_defaults import LaunchDefaults, resources_of, revival_of
from zeekfleet.daemon.role import RoleSettings
from zeekfleet.daemon.run import on_hangup, until
from zeekfleet.daemon.supervising import outputs_of, supervisor_of
from zeekfleet.errors import SettingsError, StateDirectoryError, SupervisionError, TransportError
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.model.enums import Role
from zeekfleet.model.launch import MANAGEMENT_REVIVAL
from zeekfleet.model.names import SUPERVISOR_SOCKET
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import MANAGEMENT_NODE, NOTIFY_SOCKET, PORT_FOR_AGENTS
from zeekfleet.node.engines import select
from zeekfleet.release import RUNNING
from zeekfleet.security.access import AccessControl
from zeekfleet.settings import Settings
from zeekfleet.supervisor import NodeExit, Supervisor
from zeekfleet.supervisor.control import SupervisorControl
from zeekfleet.system.files import write_private
from zeekfleet.transport.connections import ConnectedBus

logger = logging.getLogger(__name__)

READY_FILE = "ready"
"""In a role's directory: the pid of its process, and the status that it announced when it was ready."""

REASON = "error: "
"""How a daemon begins the line that says why it cannot run."""

START_TIMEOUT = 30.0
"""Seconds that the agent or controller may take to be ready."""


class Tree:
    """Starts the agent and the controller of a running tree.

    Args:
        settings: all settings.
        supervisor: manages the processes.
        engine: the engine's name.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor, engine: str) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._engine = engine
        self._starting: dict[str, asyncio.Future[str]] = {}
        self._ready_files: list[Path] = []
        supervisor.on_node_exit(self._ended)

    async def start(self, role: Role) -> str:
        """Start the agent or the controller, and wait until it is ready; the status that it announces.

        If it runs already with the same settings, it is left alone; otherwise it is restarted. Nodes are not touched.

        Raises:
            SupervisionError: it did not become ready; the sentence is the one that it printed, if it did.
        """
        name = self._settings.agent.name if role is Role.AGENT else self._settings.controller.name
        directory = prepare(node_directory(self._settings.common, name), Path(self._settings.common.state_dir))
        file = directory / SETTINGS_FILE
        content = msgspec.json.encode(RoleSettings(role.name, self._settings, self._engine, str(RUNNING)))
        if (status := self._found(name, directory, content)) is not None:
            logger.info("%s '%s' found running", role.name.lower(), name)
            await self._remove(role, name, keep=True)
            return status
        await self._remove(role, name)
        _keep(file, content)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._starting[name] = ready

        def heard(status: str) -> None:
            if not ready.done():
                ready.set_result(status)

        with readiness.receiver(heard) as receiver:
            config = NodeConfig(
                name=name,
                directory=str(directory),
                stdout_file="stdout",
                stderr_file="stderr",
                env={
                    MANAGEMENT_NODE: role.name,
                    NOTIFY_SOCKET: receiver.address,
                    PORT_FOR_AGENTS: str(self._settings.controller.port),
                },
            )
            argv = (sys.executable, "-P", "-m", "zeekfleet.daemon.role", str(file))
            try:
                problem = await self._supervisor.create_process(
                    config, argv, grace=self._settings.supervisor.grace, revival=MANAGEMENT_REVIVAL
                )
                if problem:
                    raise SupervisionError(f"{role.name.lower()} {name} could not be started: {problem}")
                status = await asyncio.wait_for(ready, START_TIMEOUT)
            except TimeoutError:
                raise SupervisionError(f"{role.name.lower()} {name} is not ready after {START_TIMEOUT:g} s") from None
            finally:
                del self._starting[name]
        pid = self._supervisor.status(name).nodes[name].pid
        self._ready_files.append(directory / READY_FILE)
        _keep(directory / READY_FILE, f"{pid}\n{status}".encode())
        return status

    def _found(self, name: str, directory: Path, content: bytes) -> str | None:
        """The status of the process if it runs with the same settings since an earlier run of the tree, else None."""
        details = self._supervisor.details(name).get(name)
        if details is None or not details.runs:
            return None
        try:
            pid, _, status = (directory / READY_FILE).read_text().partition("\n")
            same = (directory / SETTINGS_FILE).read_bytes() == content
        except (OSError, UnicodeDecodeError):
            return None
        return status if same and pid == str(details.pid) else None

    def hang_up(self) -> None:
        """Pass SIGHUP on to agent and controller, which then open their logs anew."""
        for name, status in self._supervisor.status().nodes.items():
            if MANAGEMENT_NODE in status.node.env:
                self._supervisor.signal(name, signal.SIGHUP)

    def settle(self) -> None:
        """The start has succeeded. A failure from now on stops no node."""
        self._supervisor.on_failure = "keep"
        self._ready_files.clear()

    def withdraw(self) -> None:
        """The start has failed: remove the ready files that it wrote."""
        for file in self._ready_files:
            file.unlink(missing_ok=True)

    def leave(self) -> None:
        """Log whether the nodes are stopped or run on, and remove the ready files if they are stopped."""
        if self._supervisor.on_exit == "keep":
            logger.info("all nodes run on")
            return
        logger.info("stopping all nodes")
        for name in (self._settings.agent.name, self._settings.controller.name):
            (node_directory(self._settings.common, name) / READY_FILE).unlink(missing_ok=True)

    async def _remove(self, role: Role, name: str, keep: bool = False) -> None:
        """Stop processes of this role from an earlier run of the tree; with ``keep``, except the one of this name."""
        earlier = [
            process
            for process, status in self._supervisor.status().nodes.items()
            if (status.node.env.get(MANAGEMENT_NODE) == role.name or process == name) and not (keep and process == name)
        ]
        if earlier:
            await self._supervisor.destroy_all(earlier)

    def _ended(self, exit_: NodeExit) -> None:
        """Fail the start if the process ended before it was ready: another try would end in the same way."""
        ready = self._starting.get(exit_.node)
        if ready is not None and not ready.done():
            told = [line for line in exit_.outputs.stderr.splitlines() if line.startswith(REASON)]
            log = node_directory(self._settings.common, exit_.node) / "stderr"
            reason = told[-1].removeprefix(REASON) if told else f"'{exit_.node}' {exit_}, see {log}"
            ready.set_exception(SupervisionError(reason))


async def serve(
    settings: Settings,
    roles: tuple[Role, ...],
    stop: asyncio.Event,
    serving: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run a tree until told to stop, then stop all of it in order.

    If the start fails, only processes that it started are stopped. Later failures stop nothing.

    Args:
        settings: all settings.
        roles: the roles that run in it, in the order of their start.
        stop: set to end the tree.
        serving: called once all are ready; cancelled at the end.

    Raises:
        ZeekfleetError: a directory or port cannot be used, or a role cannot run with its settings.
    """
    _check_names(settings, roles)
    engine = select(settings.supervisor.engine, zeek_options(settings.supervisor))
    logger.info("engine %s: %s", engine.name, engine.description)
    state, spool = Path(settings.common.state_dir), Path(settings.common.spool_dir)
    own = settings.supervisor
    user = node_user.node_user(own)
    with held(state):
        prepare(spool)
        if user is not None:
            node_user.let_in(user, state, spool, node_user.programs_of(engine))
        access = access_control(settings.common)
        async with buses.own_bus("supervisor", settings.common, access) as bus:
            # Subscribe before listening: a request that arrives without a subscription is lost.
            bus.subscribe(topics.SUPERVISOR)
            places = await _listen(bus, settings, access)
            engine_with_defaults = LaunchDefaults(
                engine, own.grace, revival_of(own), resources_of(own), grace_ceiling=own.grace_ceiling, user=user
            )
            async with (
                journal.received(state, lambda news: _is_wanted(news, settings, roles, stop)),
                supervisor_of(
                    own, state, engine_with_defaults, spool=spool, outputs=outputs_of(settings.common)
                ) as supervisor,
            ):
                supervisor.on_node_exit(log_exit)
                await supervisor.complete()
                node_user.warn_of_others(supervisor, user)
                tree = Tree(settings, supervisor, engine.name)
                on_hangup(tree.hang_up)
                # Without nodes, agent and controller, end: a service manager that sees only this process must not think
                # that all is well.
                supervisor.on_emptied = lambda: _stop_all(supervisor, stop)
                control = SupervisorControl(supervisor, bus, lambda: _stop_all(supervisor, stop))
                try:
                    await until(stop, _run(tree, roles, control, bus, places, serving))
                except Exception:
                    tree.withdraw()
                    raise
                tree.leave()


def _is_wanted(news: News, settings: Settings, roles: tuple[Role, ...], stop: asyncio.Event) -> bool:
    """Whether the foreground shows a line of agent or controller: not what it logs itself, nor what both of these log.

    While the tree stops, lost connections are not shown.
    """
    kind = news.fields.get("kind")
    if stop.is_set() and kind == "connection":
        return False
    if news.role == Role.CONTROLLER.name:
        passed_on = news.logger.endswith(".notifications") and news.fields.get("instance") == settings.agent.name
        return not (passed_on and Role.AGENT in roles)  # the agent sends the same line
    if kind in ("crash", "crash loop"):
        return False  # this process has the Supervisor, and logs it
    return not (kind == "deployment" and Role.CONTROLLER in roles)


def _stop_all(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Stop the tree with all nodes, even if a signal would leave them running (``--on-exit keep``)."""
    supervisor.on_exit = "stop"
    stop.set()


async def _listen(bus: ConnectedBus, settings: Settings, access: AccessControl) -> list[str]:
    """Open the socket for the agent of this host and, if it is wanted, the port; where others may connect."""
    socket = Path(settings.common.state_dir) / SUPERVISOR_SOCKET
    await bus.listen(f"unix:{socket}", 0, policy=buses.SUPERVISOR, access=access)
    if (wanted := settings.supervisor.port) is None:
        return []
    port = await bus.listen(LOOPBACK, wanted, policy=buses.SUPERVISOR, access=access)
    return [f"supervisor {LOOPBACK}:{port}"]


def _check_names(settings: Settings, roles: tuple[Role, ...]) -> None:
    if Role.AGENT in roles:
        check_name("agent.name", settings.agent.name)
    if Role.CONTROLLER in roles:
        check_name("controller.name", settings.controller.name)
    if len(roles) > 1 and settings.agent.name == settings.controller.name:
        raise SettingsError("agent.name", f"the agent must not have the controller's name, '{settings.agent.name}'")


async def _run(
    tree: Tree,
    roles: tuple[Role, ...],
    control: SupervisorControl,
    bus: ConnectedBus,
    places: list[str],
    serving: Callable[[], Awaitable[None]] | None,
) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(control.run())
        parts = [await tree.start(role) for role in roles]
        readiness.announce("; ".join([*parts, *places]))
        if serving is not None:
            await serving()
        tree.settle()
    raise TransportError(f"the supervisor's endpoint {bus.id} was closed")


def _keep(file: Path, content: bytes) -> None:
    """Write a file in a role's directory that only our user can read.

    Raises:
        StateDirectoryError: it cannot be written.
    """
    try:
        write_private(file, content)
    except OSError as error:
        raise StateDirectoryError(file.parent, error.strerror or str(error)) from error
