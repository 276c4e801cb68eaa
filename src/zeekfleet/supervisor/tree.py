"""The Supervisor: the public Python API of process supervision (docs/protocol.md, section 5)."""

from __future__ import annotations

import asyncio
import logging
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
from zeekfleet.release import part
from zeekfleet.stem import protocol
from zeekfleet.supervisor import failing, identity, places, recovery, stem
from zeekfleet.supervisor.crash import CrashSettings
from zeekfleet.supervisor.engine import CommandEngine
from zeekfleet.supervisor.handle import StemHandle
from zeekfleet.supervisor.listeners import Listeners, Registry
from zeekfleet.supervisor.orphans import Orphans
from zeekfleet.supervisor.outputs import OutputLimits
from zeekfleet.supervisor.portions import portions
from zeekfleet.supervisor.watcher import Watcher

logger = logging.getLogger(__name__)

MAX_STARTING = 64

COMMAND_TIMEOUT = 60.0
"""Seconds for the stem to do what does not depend on a node's own time."""


OnFailure = Literal["keep", "retreat"] | None


class Supervisor(Registry):
    """Owns a tree of processes, through its stem; an async context manager.

    Entering it starts the stem of ``state_directory``, or finds the one that runs, with
    all its nodes. Leaving it stops the tree in order (``on_exit="stop"``) or leaves it
    running for the next Supervisor (``"keep"``). If this process dies, the tree runs on.

    Args:
        state_directory: the tree's own directory, made if missing (mode 0700).
        engine: what a node is launched as.
        spool_directory: handed to the engine; ``<state>/spool`` when left out.
        bare_mode: what a node without a setting of its own inherits.
        environment: what nodes start from; this process's own when left out.
        report_lines: how many last lines of each stream an exit report holds.
        echo: repeat the nodes' output on this process's own streams.
        on_exit: see above.
        on_failure: what leaving it by an exception does: what ``on_exit`` says (None), nothing (``"keep"``), or stop
            only what this Supervisor has created itself (``"retreat"``), for a start that fails.
        crashes: how many crash reports are kept.
        outputs: how large a node's output file may become before it is rotated, and how many rotated ones are kept.
        max_starting: how many nodes are started at a time; others wait.
        inherit: become the parent of what a dead stem leaves. For a daemon, which has no other children
            in sessions of their own, and whose loop runs in the main thread.

    Attributes:
        on_exit: as above; it may change.
        on_failure: as above; it may change.
        in_a_hurry: whether leaving it gives no node more than its grace.
        on_emptied: called when somebody else has had the stem stop all nodes.
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
            Path(spool_directory).absolute() if spool_directory else self.state_directory / "spool",
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
        # No task of the group: what fails or is cancelled there must not cost us the stem.
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
        """Stop what is to be stopped."""
        if isinstance(error, Exception) and self.on_failure is not None:
            if self.on_failure == "retreat":
                await self._retreat()
        elif self.on_exit == "stop" and not self._stopped:
            await self.shutdown()

    async def _retreat(self) -> None:
        """Stop what has been created from here; what was found runs on, for the next Supervisor."""
        try:
            if self._created.issuperset(self._watcher.nodes):
                await self.shutdown()
            else:
                await self.destroy_all([name for name in self._watcher.nodes if name in self._created])
                logger.info("nodes that were running before run on: %s", ", ".join(sorted(self._watcher.nodes)))
        except StemError as error:
            logger.warning("what was started is left: %s", error, extra={"error": str(error)})

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
        """Stop the whole tree, group after group in stop order, in parallel within one, and the stem.

        With ``in_a_hurry`` set, no node gets more than its grace, whatever it still writes.

        Raises:
            StemError: it was not done within the time that the nodes' graces allow.
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
            self._handle.hurry()  # whoever does not wait any more does not want the nodes to take their time either
            raise
        if self._connection is not None:
            await asyncio.wait([self._connection], timeout=COMMAND_TIMEOUT)
        for name in list(nodes):
            await self._watcher.told(name)
            self._watcher.drop(name)

    # --- the functions of Zeek's Supervisor framework

    async def create(self, config: NodeConfig, engine: Engine | None = None) -> str:
        """Create a node; an error text, empty on success. A node that cannot be started yet is created as well.

        Args:
            config: the node.
            engine: what it is launched as, if not the Supervisor's own.
        """
        return (await self._create((config,), engine or self._engine))[config.name]

    async def create_all(self, configs: Sequence[NodeConfig], engine: Engine | None = None) -> dict[str, str]:
        """Create several nodes of one engine, in one go; the outcome of each, as ``create`` gives it."""
        return await self._create(configs, engine or self._engine)

    async def create_process(
        self, config: NodeConfig, argv: Sequence[str], *, grace: float = 10.0, revival: RevivalSettings | None = None
    ) -> str:
        """Create a node that is a given program, whatever the engine: an agent, a controller, anything.

        Args:
            config: the node.
            argv: the program and its arguments.
            grace: seconds between SIGTERM and SIGKILL.
            revival: how it comes back.
        """
        return await self.create(config, CommandEngine(argv, grace=grace, revival=revival))

    async def destroy(self, name: str = "") -> bool:
        """Stop and forget a node, or all, in parallel; False if there is none of that name."""
        return await self.destroy_all((name,) if name else tuple(self._watcher.nodes))

    async def destroy_all(self, names: Sequence[str]) -> bool:
        """Stop and forget several nodes, in parallel; False if one was not there."""
        self._check_open()
        outcomes = await self._handle.destroy(tuple(names), COMMAND_TIMEOUT + self._longest_stop(names))
        for name, problem in outcomes.items():
            if not problem:
                await self._watcher.told(name)
                self._watcher.drop(name)
        return not any(outcomes.values())

    async def restart(self, name: str = "") -> bool:
        """Stop a node, or all in parallel, and start it anew; False if it is unknown or did not start."""
        return await self.restart_all((name,) if name else tuple(self._watcher.nodes))

    async def restart_all(self, names: Sequence[str]) -> bool:
        """Restart several nodes, in parallel; False if one was not there or did not start."""
        self._check_open()
        outcomes = await self._handle.restart(tuple(names), COMMAND_TIMEOUT + self._longest_stop(names))
        return not any(outcomes.values())

    def hurry(self, names: Iterable[str] = ()) -> None:
        """Give nodes that are being stopped, or all of them, no more than their grace, whatever they still write."""
        self._check_open()
        self._handle.hurry(tuple(names))

    async def fail(self, name: str, pid: int, first: signal.Signals = signal.SIGTERM) -> bool:
        """End a node's process that is as good as dead, and leave its revival to its policy; whether it has ended.

        Args:
            name: the node's.
            pid: the process that is meant; a later one of the node is left alone.
            first: what it is sent; SIGKILL follows after the node's grace.
        """
        self._check_open()
        tracked = self._watcher.nodes.get(name)
        if tracked is None or tracked.pid != pid or tracked.start_time is None:
            return tracked is not None
        return await failing.end(pid, tracked.start_time, first, tracked.spec.grace)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Signal a node's process; False if there is none."""
        self._check_open()
        tracked = self._watcher.nodes.get(name)
        if tracked is None or tracked.pid is None or tracked.start_time is None:
            return False
        return failing.send(tracked.pid, tracked.start_time, number)

    def check(self, config: NodeConfig, engine: Engine | None = None) -> str:
        """Why a node could not be created if there were none of its name; empty if it could. Makes its directory."""
        self._check_open()
        prepared = self._prepare(config, engine or self._engine, ())
        return prepared if isinstance(prepared, str) else ""

    def is_launched_as(self, config: NodeConfig, engine: Engine | None = None) -> bool:
        """Whether a node of that name was launched just so; the environment that all nodes start from does not count.

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
        # Of a node that was found, its files are known only as far as they are its configuration.
        return msgspec.structs.replace(spec, env=tracked.spec.env, files=tracked.spec.files) == tracked.spec

    async def complete(self, configs: Iterable[NodeConfig] | None = None, engine: Engine | None = None) -> None:
        """Tell the stem what nodes, or all, are launched with if it has only their processes, which show just that."""
        self._check_open()
        nodes, used = self._watcher.nodes, engine or self._engine
        wanted = [tracked.config for tracked in nodes.values()] if configs is None else configs
        await recovery.complete(self._handle, nodes, wanted, lambda config: self._prepare(config, used, ()))

    def status(self, name: str = "") -> Status:
        """A node's status, or all; an empty table for an unknown name."""
        self._check_open()
        return Status(nodes={key: node.status() for key, node in self._watcher.nodes.items() if name in ("", key)})

    def releases(self) -> tuple[PartRelease, ...]:
        """Which zeekfleet this Supervisor and its stem run."""
        pid, running = self._handle.stem
        return (part("supervisor"), part("stem", pid, running))

    def details(self, name: str = "") -> dict[str, NodeDetails]:
        """All that is known of a node, or of all; empty for an unknown name."""
        self._check_open()
        return {key: node.details() for key, node in self._watcher.nodes.items() if name in ("", key)}

    # --- creating

    async def _create(self, configs: Sequence[NodeConfig], engine: Engine) -> dict[str, str]:
        self._check_open()
        outcomes: dict[str, str] = {}
        async with asyncio.TaskGroup() as tasks:
            starts: list[asyncio.Task[dict[str, str]]] = []
            for portion in portions(configs):
                specs: list[LaunchSpec] = []
                for config in portion:
                    prepared = self._prepare(config, engine, self._watcher.nodes)
                    if isinstance(prepared, str):
                        outcomes[config.name] = prepared
                    else:
                        self._created.add(config.name)
                        self._watcher.track(config, prepared)
                        specs.append(prepared)
                if specs:
                    starts.append(tasks.create_task(self._start(tuple(specs))))
                    await asyncio.sleep(0)  # the stem begins while the next portion is prepared
        for task in starts:
            outcomes |= task.result()
        return outcomes

    def _prepare(self, config: NodeConfig, engine: Engine, taken: Container[str]) -> LaunchSpec | str:
        """What to launch, or why that cannot be."""
        if problem := places.problem_with(config, taken):
            return problem
        if problem := places.make_directory(config, self._host.paths(config)):
            return problem
        try:
            spec = identity.given_to(engine.launch(config, self._host.launch_context(config)), config)
        except LaunchError as error:
            return str(error)
        return places.problem_with_launch(spec) or spec

    async def _start(self, specs: tuple[LaunchSpec, ...]) -> dict[str, str]:
        try:
            async with self._starting:
                outcomes = await self._handle.create(specs, COMMAND_TIMEOUT)
        except StemError as error:
            outcomes = dict.fromkeys((spec.name for spec in specs), str(error))
        for name, problem in outcomes.items():
            if problem:
                self._watcher.drop(name)
        return outcomes

    def _welcomed(self, welcome: protocol.Welcome) -> None:
        """Take over what the stem has, and tell it what it has lost and we still know.

        A stem that is killed leaves its nodes to the next one. Only one that was told to stop them all has left none.
        """
        had_nodes = any(tracked.pid is not None for tracked in self._watcher.nodes.values())
        self._watcher.welcomed(welcome)
        if had_nodes and not self._watcher.nodes and not self._stopped:
            logger.error("all nodes were stopped by a signal to their stem")
            if self.on_emptied is not None:
                self.on_emptied()
        if lost := recovery.lost(welcome, self._watcher.nodes):
            self._tasks.create_task(recovery.remind(self._handle, lost))

    def _taken_out(self, path: Path, size: int) -> None:
        """The stem knows where in their output files the present processes began."""
        self._handle.tell_taken_out(str(path), size)

    def _is_running(self, pid: int) -> bool:
        """Whether the stem has yet to tell the end of a process."""
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
