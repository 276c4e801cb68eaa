"""The Supervisor: the public Python API of process supervision (docs/protocol.md, section 5)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from zeekfleet.errors import LaunchError, NotSupervisorError, StemError
from zeekfleet.lifecycle.order import stop_groups
from zeekfleet.model.launch import Engine, LaunchSpec, RevivalSettings
from zeekfleet.model.launch_context import HostContext
from zeekfleet.model.releases import PartRelease
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.supervisor import NodeConfig, Status
from zeekfleet.model.variables import MANAGEMENT_NODE
from zeekfleet.release import part
from zeekfleet.stem import protocol
from zeekfleet.supervisor import failing, identity, places, recovery, stem
from zeekfleet.supervisor.batches import batches
from zeekfleet.supervisor.crash import CrashSettings
from zeekfleet.supervisor.engine import CommandEngine
from zeekfleet.supervisor.handle import StemHandle
from zeekfleet.supervisor.listeners import Listeners, Registry
from zeekfleet.supervisor.orphans import Orphans
from zeekfleet.supervisor.outputs import OutputLimits
from zeekfleet.supervisor.watcher import Watcher

logger = logging.getLogger(__name__)

MAX_STARTING = 64

SPOOL = "spool"
"""The spool directory in a state directory, unless another one is given."""

COMMAND_TIMEOUT = 60.0
"""Seconds for the stem to do what does not depend on a node's own time."""


OnFailure = Literal["keep", "retreat"] | None


class Supervisor(Registry):
    """Manages a tree of processes, which its stem owns; an async context manager.

    Entering it finds the running stem of ``state_directory`` with all its nodes, or starts a stem. Leaving it stops the
    tree in order (``on_exit="stop"``), or leaves it running for the next Supervisor (``"keep"``). If this process dies,
    the tree runs on.

    Args:
        state_directory: the tree's own directory, made if missing (mode 0700).
        engine: how a node's configuration becomes a process.
        spool_directory: passed to the engine; ``<state>/spool`` by default.
        bare_mode: the bare mode of nodes that do not set it.
        environment: what nodes inherit; by default this process's own environment.
        report_lines: how many last lines of each stream an exit report has.
        echo: repeat the nodes' output on this process's own streams.
        on_exit: see above.
        on_failure: what happens when it is left by an exception: the same as otherwise (None), nothing (``"keep"``), or
            only the nodes that this Supervisor created are stopped (``"retreat"``), for a start that fails.
        crashes: how many crash reports are kept.
        outputs: how large a node's output file may become before it is rotated, and how many rotated ones are kept.
        max_starting: how many nodes are started at a time; others wait.
        inherit: become the parent of the processes that a dead stem leaves (``orphans``). For daemons, which have no
            other children in sessions of their own, and whose event loop runs in the main thread.

    Attributes:
        on_exit: as above; it may change.
        on_failure: as above; it may change.
        in_a_hurry: stop nodes within their grace when leaving it, even those that still write.
        on_emptied: called when all nodes are gone because somebody told the stem to stop them.
    """

    def __init__(
        self,
        state_directory: Path | str,
        engine: Engine,
        *,
        spool_directory: Path | str | None = None,
        bare_mode: bool = False,
        environment: Mapping[str, str] | None = None,
        report_lines: int = 100,
        echo: bool = False,
        on_exit: Literal["stop", "keep"] = "stop",
        on_failure: OnFailure = None,
        crashes: CrashSettings = CrashSettings(),  # noqa: B008 - frozen
        outputs: OutputLimits = OutputLimits(),  # noqa: B008 - frozen
        max_starting: int = MAX_STARTING,
        inherit: bool = False,
    ) -> None:
        self.state_directory = Path(state_directory).absolute()
        self._engine = engine
        self._host = HostContext(
            self.state_directory,
            Path(spool_directory).absolute() if spool_directory else self.state_directory / SPOOL,
            bare_mode,
            places.base_environment(environment),
        )
        self.on_exit: Literal["stop", "keep"] = on_exit
        self.on_failure: OnFailure = on_failure
        self.in_a_hurry = False
        self.on_emptied: Callable[[], None] | None = None
        self._created: set[str] = set()
        listeners = Listeners(echo)
        self._orphans = Orphans(self._is_running, stem.is_ours) if inherit else None
        self._watcher = Watcher(
            self.state_directory, listeners, report_lines, crashes, self._reap, outputs, self._taken_out
        )
        super().__init__(listeners, self._watcher.follow_all)
        self._starting = asyncio.Semaphore(max_starting)
        self._handle = StemHandle(self.state_directory, self._welcomed, self._watcher.happened)
        self._tasks = asyncio.TaskGroup()
        self._connection: asyncio.Task[None] | None = None
        self._open = False
        self._stopped = False
        self._stem_changes_user = False

    # --- life

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        try:
            if self._orphans is not None:
                self._orphans.open()
            self._watcher.open(self._tasks)
            await self._handle.connect()
        except BaseException:
            await self._leave(None, None, None)
            raise
        # Not a task of the group: when a task of the group fails, the connection to the stem must stay.
        self._connection = asyncio.create_task(self._handle.run())
        self._open = True
        identity.enter(self)
        self._watcher.follow_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._end(error)
        finally:
            self._open = False
            identity.leave(self)
            cancelled = isinstance(error, asyncio.CancelledError)
            await (self._leave(kind, error, trace) if cancelled else self._leave(None, None, None))

    async def _end(self, error: BaseException | None) -> None:
        """Stop the tree, or parts of it, as ``on_exit`` and ``on_failure`` say."""
        if isinstance(error, Exception) and self.on_failure is not None:
            if self.on_failure == "retreat":
                await self._retreat()
        elif self.on_exit == "stop" and not self._stopped:
            await self.shutdown()

    async def _retreat(self) -> None:
        """Stop the nodes that this Supervisor created. Those that it found run on, for the next Supervisor."""
        try:
            if self._created.issuperset(self._watcher.nodes):
                await self.shutdown()
            else:
                await self.destroy_all([name for name in self._watcher.nodes if name in self._created])
                logger.info("nodes that ran before are left running: %s", ", ".join(sorted(self._watcher.nodes)))
        except StemError as error:
            logger.warning("nodes that were started could not be stopped: %s", error, extra={"error": str(error)})

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()
        if self._connection is not None:
            self._connection.cancel()
            await asyncio.wait([self._connection])
        self._watcher.close()
        if self._orphans is not None:
            self._orphans.close()
        await self._tasks.__aexit__(kind, error, trace)
        stem.reap()

    async def shutdown(self) -> None:
        """Stop all nodes, group after group in stop order, in parallel within a group, and then the stem.

        With ``in_a_hurry`` set, every node is killed after its grace, even if it still writes.

        Raises:
            StemError: this took longer than the graces of the nodes allow.
        """
        self._check_open()
        nodes = self._watcher.nodes
        configs = [tracked.config for tracked in nodes.values()]
        groups = tuple(tuple(config.name for config in group) for group in stop_groups(configs))
        timeout = COMMAND_TIMEOUT + sum(self._longest_stop(group) for group in groups)
        self._stopped = True
        try:
            await self._handle.shutdown(groups, timeout, self.in_a_hurry)
        except asyncio.CancelledError:
            self._handle.hurry()  # the caller stopped waiting: the nodes must not take longer than their grace either
            raise
        if self._connection is not None:
            await asyncio.wait([self._connection], timeout=COMMAND_TIMEOUT)
        for name in list(nodes):
            await self._watcher.told(name)
            self._watcher.drop(name)

    # --- the functions of Zeek's Supervisor framework

    async def create(self, config: NodeConfig, engine: Engine | None = None) -> str:
        """Create a node; an error text, empty on success.

        A node whose process cannot be started is created all the same, and tried again by its revival policy.

        Args:
            config: the node.
            engine: launches it, in place of the Supervisor's engine.
        """
        return (await self._create((config,), engine or self._engine))[config.name]

    async def create_all(self, configs: Sequence[NodeConfig], engine: Engine | None = None) -> dict[str, str]:
        """Create several nodes with one engine; by name, the result that ``create`` would return."""
        return await self._create(configs, engine or self._engine)

    async def create_process(
        self, config: NodeConfig, argv: Sequence[str], *, grace: float = 10.0, revival: RevivalSettings | None = None
    ) -> str:
        """Create a node that runs a given program, such as an agent or a controller, without the engine.

        Args:
            config: the node.
            argv: the program and its arguments.
            grace: seconds between SIGTERM and SIGKILL.
            revival: when it is started again after it ended by itself.
        """
        return await self.create(config, CommandEngine(argv, grace=grace, revival=revival))

    async def destroy(self, name: str = "") -> bool:
        """Stop and forget a node, or all nodes in parallel; False if there is no node of that name."""
        return await self.destroy_all((name,) if name else tuple(self._watcher.nodes))

    async def destroy_all(self, names: Sequence[str]) -> bool:
        """Stop and forget several nodes, in parallel; False if one of them does not exist."""
        self._check_open()
        outcomes = await self._handle.destroy(tuple(names), COMMAND_TIMEOUT + self._longest_stop(names))
        for name, problem in outcomes.items():
            if not problem:
                await self._watcher.told(name)
                self._watcher.drop(name)
        return not any(outcomes.values())

    async def restart(self, name: str = "") -> bool:
        """Stop and start a node, or all nodes in parallel; False if it does not exist or did not start."""
        return await self.restart_all((name,) if name else tuple(self._watcher.nodes))

    async def restart_all(self, names: Sequence[str]) -> bool:
        """Stop and start several nodes, in parallel; False if one of them does not exist or did not start."""
        self._check_open()
        outcomes = await self._handle.restart(tuple(names), COMMAND_TIMEOUT + self._longest_stop(names))
        return not any(outcomes.values())

    def hurry(self, names: Iterable[str] = ()) -> None:
        """Kill nodes that are being stopped (all of these by default) after their grace, even if they still write."""
        self._check_open()
        self._handle.hurry(tuple(names))

    async def fail(self, name: str, pid: int, first: signal.Signals = signal.SIGTERM) -> bool:
        """End a process that does not respond, and let the revival policy treat that as a crash; whether it has ended.

        Args:
            name: the node.
            pid: the process; if the node has another one by now, that is left alone.
            first: the first signal; SIGKILL follows after the node's grace.
        """
        self._check_open()
        tracked = self._watcher.nodes.get(name)
        if tracked is None or tracked.pid != pid or tracked.start_time is None:
            return tracked is not None
        return await failing.end(pid, tracked.start_time, first, tracked.spec.grace)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a node's process; False if it has none."""
        self._check_open()
        tracked = self._watcher.nodes.get(name)
        if tracked is None or tracked.pid is None or tracked.start_time is None:
            return False
        return failing.send(tracked.pid, tracked.start_time, number)

    def check(self, config: NodeConfig, engine: Engine | None = None) -> str:
        """Check a node as ``create`` does, and make its directory, but do not create it.

        That its name may be in use is not checked. Returns an error text, empty if there is no problem.
        """
        self._check_open()
        prepared = self._prepare(config, engine or self._engine, ())
        return prepared if isinstance(prepared, str) else ""

    def is_launched_as(self, config: NodeConfig, engine: Engine | None = None) -> bool:
        """Whether a node of that name was launched exactly like this. The inherited environment is not compared.

        Raises:
            LaunchError: the engine cannot launch such a node at all.
        """
        self._check_open()
        tracked = self._watcher.nodes.get(config.name)
        if tracked is None or tracked.config != config:
            return False
        spec = identity.given_to((engine or self._engine).launch(config, self._host.launch_context(config)), config)
        if tracked.recovered:
            return recovery.shows(tracked.spec, spec)
        # The stem does not tell the files of a node that was found, so compare without them: the configuration, which
        # is one of them, was compared above.
        return msgspec.structs.replace(spec, env=tracked.spec.env, files=tracked.spec.files) == tracked.spec

    async def complete(self, configs: Iterable[NodeConfig] | None = None, engine: Engine | None = None) -> None:
        """Send the stem the launches that it lost, of these nodes or of all; see ``recovery``."""
        self._check_open()
        nodes, used = self._watcher.nodes, engine or self._engine
        wanted = [tracked.config for tracked in nodes.values()] if configs is None else configs
        await recovery.complete(self._handle, nodes, wanted, lambda config: self._prepare(config, used, ()))

    def status(self, name: str = "") -> Status:
        """The status of a node, or of all nodes; an empty table if there is no node of that name."""
        self._check_open()
        return Status(nodes={key: node.status() for key, node in self._watcher.nodes.items() if name in ("", key)})

    def releases(self) -> tuple[PartRelease, ...]:
        """The releases of zeekfleet that this Supervisor and its stem run."""
        pid, running = self._handle.stem
        return (part("supervisor"), part("stem", pid, running))

    def details(self, name: str = "") -> dict[str, NodeDetails]:
        """All that is known of a node, or of all nodes; empty if there is no node of that name."""
        self._check_open()
        return {key: node.details() for key, node in self._watcher.nodes.items() if name in ("", key)}

    def run_by_others(self, uid: int) -> list[str]:
        """The nodes that run as another user than this one; agents and controllers are none."""
        self._check_open()
        specs = (tracked.spec for tracked in self._watcher.nodes.values())
        own = os.geteuid()
        return [
            spec.name
            for spec in specs
            if MANAGEMENT_NODE not in spec.env and uid != (own if spec.user is None else spec.user.uid)
        ]

    # --- creating

    async def _create(self, configs: Sequence[NodeConfig], engine: Engine) -> dict[str, str]:
        self._check_open()
        outcomes: dict[str, str] = {}
        async with asyncio.TaskGroup() as tasks:
            starts: list[asyncio.Task[dict[str, str]]] = []
            for batch in batches(configs):
                specs: list[LaunchSpec] = []
                for config in batch:
                    prepared = self._prepare(config, engine, self._watcher.nodes)
                    if isinstance(prepared, str):
                        outcomes[config.name] = prepared
                    else:
                        self._created.add(config.name)
                        self._watcher.track(config, prepared)
                        specs.append(prepared)
                if specs:
                    starts.append(tasks.create_task(self._start(tuple(specs))))
                    await asyncio.sleep(0)  # the stem begins while the next batch is prepared
        for task in starts:
            outcomes |= task.result()
        return outcomes

    def _prepare(self, config: NodeConfig, engine: Engine, taken: Container[str]) -> LaunchSpec | str:
        """The launch of a node, or the reason why it cannot be launched."""
        if problem := places.problem_with(config, taken):
            return problem
        try:
            spec = identity.given_to(engine.launch(config, self._host.launch_context(config)), config)
        except LaunchError as error:
            return str(error)
        if spec.user is not None and not self._stem_changes_user:
            return (
                f"node '{config.name}' cannot run as another user: the stem that runs is of a former release;"
                " stop everything ('zeekfleet stop') and start it again"
            )
        if problem := places.make_directory(config, self._host.paths(config), self._host.state, spec.user):
            return problem
        return places.problem_with_owner(spec, self._host.state) or places.problem_with_launch(spec) or spec

    async def _start(self, specs: tuple[LaunchSpec, ...]) -> dict[str, str]:
        outcomes: dict[str, str] = {}
        for spec in specs:
            if problem := await places.give_directory(spec, self._host.state):
                outcomes[spec.name] = problem
        specs = tuple(spec for spec in specs if spec.name not in outcomes)
        try:
            async with self._starting:
                outcomes |= await self._handle.create(specs, COMMAND_TIMEOUT)
        except StemError as error:
            outcomes |= dict.fromkeys((spec.name for spec in specs), str(error))
        for name, problem in outcomes.items():
            if problem:
                self._watcher.drop(name)
        return outcomes

    def _welcomed(self, welcome: protocol.Welcome) -> None:
        """Take over the nodes of the stem, and send it the launches that it has lost.

        If all nodes are gone, somebody told the stem to stop them: the nodes of a stem that is merely killed run on.
        """
        self._stem_changes_user = welcome.changes_user
        had_nodes = any(tracked.pid is not None for tracked in self._watcher.nodes.values())
        self._watcher.welcomed(welcome)
        if had_nodes and not self._watcher.nodes and not self._stopped:
            logger.error("all nodes were stopped by a signal to their stem")
            if self.on_emptied is not None:
                self.on_emptied()
        if lost := recovery.lost(welcome, self._watcher.nodes):
            self._tasks.create_task(recovery.remind(self._handle, lost))

    def _taken_out(self, path: Path, size: int) -> None:
        """Tell the stem: it keeps the offsets in output files at which the running processes began."""
        self._handle.tell_taken_out(str(path), size)

    def _is_running(self, pid: int) -> bool:
        """Whether a process is that of a node, and the stem has not reported its end yet."""
        return any(node.pid == pid and node.running for node in self._watcher.nodes.values())

    def _reap(self) -> None:
        if self._orphans is not None:
            self._orphans.reap()

    def _longest_stop(self, names: Iterable[str]) -> float:
        nodes = self._watcher.nodes
        return max((nodes[name].spec.longest_stop for name in names if name in nodes), default=0.0)

    def _check_open(self) -> None:
        if not self._open:
            raise NotSupervisorError("this Supervisor is not running: use it within 'async with'")
