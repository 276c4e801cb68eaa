"""Turns the events of the stem into what the Supervisor knows of its nodes, and reports them to listeners."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import MANAGEMENT_NODE, NODE_CONFIG
from zeekfleet.stem import protocol
from zeekfleet.supervisor import stem
from zeekfleet.supervisor.crash import CrashReports, CrashSettings
from zeekfleet.supervisor.follow import Followers
from zeekfleet.supervisor.identity import decode_config
from zeekfleet.supervisor.listeners import Listeners
from zeekfleet.supervisor.outputs import OutputLimits, Outputs
from zeekfleet.supervisor.records import NodeExit, NodeStopping, Recurrence, Tracked, exit_of
from zeekfleet.supervisor.report import Reporter
from zeekfleet.system.files import read_regular
from zeekfleet.system.privileges import acting_as

logger = logging.getLogger(__name__)

LARGEST_CONFIG = 64 * 2**20
"""Bytes of a node's configuration that are read: it has the layout of its cluster."""


class Watcher:
    """The nodes of a tree, kept up to date.

    Each event changes what is known at once. Listeners get the events of one node in their order. An event is reported
    at once where possible, and by a task if files must be read for the report first.

    Args:
        state: the state directory.
        listeners: the hooks and callbacks.
        report_lines: how many last lines of each stream an exit report has.
        crashes: how many crash reports are kept.
        on_reported: called when the stem has reported the end of a process.
        outputs: when output files are rotated.
        taken_out: called with an output file and the number of bytes that were removed from its beginning.
    """

    def __init__(
        self,
        state: Path,
        listeners: Listeners,
        report_lines: int,
        crashes: CrashSettings,
        on_reported: Callable[[], None],
        outputs: OutputLimits,
        taken_out: Callable[[Path, int], None],
    ) -> None:
        self.nodes: dict[str, Tracked] = {}
        self._state = state
        self._listeners = listeners
        self._reporter = Reporter(CrashReports(state, crashes), report_lines)
        self._on_reported = on_reported
        self._tasks: asyncio.TaskGroup | None = None
        self._followers: Followers | None = None
        self._limits = outputs
        self._taken_out = taken_out
        self._outputs: Outputs | None = None
        self._is_catching_up = False

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Begin. The group ``tasks`` runs the reports to listeners."""
        self._tasks = tasks
        self._followers = Followers(tasks)
        if self._limits.size:
            self._outputs = Outputs(self._limits, tasks, self._followers.deliver_then, self._taken_out)

    def close(self) -> None:
        """Stop following and rotating files."""
        if self._outputs is not None:
            outputs, self._outputs = self._outputs, None
            outputs.close()
        if self._followers is not None:
            followers, self._followers = self._followers, None
            followers.close()

    def track(self, config: NodeConfig, spec: LaunchSpec) -> Tracked:
        """Add a node that is about to be created, or that the stem has."""
        tracked = self.nodes[config.name] = Tracked(config, spec)
        return tracked

    def drop(self, name: str) -> None:
        """Remove a node that no longer exists."""
        tracked = self.nodes.pop(name, None)
        if tracked is not None and self._outputs is not None:
            self._outputs.forget(Path(tracked.spec.stdout_file))
            self._outputs.forget(Path(tracked.spec.stderr_file))
        if tracked is not None and self._listeners.want_lines:
            self._do(name, self._forget_files(tracked))

    async def told(self, name: str) -> None:
        """Return when all events of a node so far have been reported to the listeners."""
        if (tracked := self.nodes.get(name)) is not None and tracked.untold:
            async with tracked.telling:
                return

    def follow_all(self) -> None:
        """Follow the output of every node and of the stem, if a hook or the echo needs it."""
        if self._followers is None or not self._listeners.want_lines:
            return
        listeners = self._listeners
        stdout, stderr = self._state / stem.STDOUT_NAME, self._state / stem.STDERR_NAME
        self._followers.follow(stdout, _size(stdout), lambda line: listeners.stdout_line("", line))
        self._followers.follow(stderr, _size(stderr), lambda line: listeners.stderr_line("", line))
        for tracked in self.nodes.values():
            if tracked.pid is not None:
                self._follow(tracked, None)

    # --- what the stem tells

    def welcomed(self, welcome: protocol.Welcome) -> None:
        """Take over all nodes of the stem, and the events that happened while there was no connection."""
        if welcome.dropped:
            logger.warning(
                "%d events of the stem are lost: it keeps only the latest ones while nobody is connected",
                welcome.dropped,
            )
        if self._outputs is not None:
            self._outputs.bound(self._state / stem.STDERR_NAME, is_found=True)
        reports = {report.spec.name: report for report in welcome.nodes}
        for name, tracked in list(self.nodes.items()):
            # A node without a process is just being created, and need not be known to the stem yet.
            if name not in reports and tracked.pid is not None:
                self.drop(name)
        for name, report in reports.items():
            if name not in self.nodes:
                tracked = self.track(_config_of(report.spec), report.spec)
                tracked.crash_report = self._reporter.last_crash(name)
                tracked.in_trouble = report.failed
                tracked.recovered = report.recovered
        # Report to listeners only when the state of all nodes is up to date: a callback may ask for any of them.
        self._is_catching_up = True
        try:
            for event in welcome.missed:
                self.happened(event)
            for name, report in reports.items():
                self._synchronise(self.nodes[name], report)
        finally:
            self._is_catching_up = False

    def happened(self, event: protocol.Event) -> None:
        """Handle one event: update the node, and report it."""
        tracked = self.nodes.get(event.name)
        if tracked is None or self._tasks is None:
            return
        match event:
            case protocol.Started():
                tracked.since, tracked.restarts, tracked.effects = event.at, event.restarts, event.effects
                self._started(tracked, event.pid, event.start_time, (event.stdout_offset, event.stderr_offset))
            case protocol.Exited():
                recurrence = tracked.ended(event)
                if self._can_tell(tracked) and not self._listeners.want_lines and self._reporter.is_quick(event):
                    self._tell_report(tracked, event, self._reporter.report(tracked.spec, event, recurrence)[0])
                else:
                    tracked.untold += 1
                    self._do(event.name, self._tell_exit(tracked, event, recurrence))
                self._on_reported()
            case protocol.Stopping():
                self._listeners.stopping(NodeStopping(event.name, event.pid, event.written, event.cpu, event.elapsed))
            case protocol.Gone(name=name):
                tracked.untold += 1
                self._do(name, self._tell_gone(tracked))
            case protocol.LaunchFailed():
                recurrence = tracked.not_started(event)
                tracked.untold += 1
                self._do(event.name, self._tell_failure(tracked, event, recurrence))

    def _synchronise(self, tracked: Tracked, report: protocol.NodeReport) -> None:
        process = (report.pid, report.start_time)
        if report.running and report.pid is not None and process != (tracked.pid, tracked.start_time):
            offsets = (report.stdout_offset, report.stderr_offset)
            self._started(tracked, report.pid, report.start_time or 0, offsets)
        tracked.pid, tracked.start_time = process
        tracked.running = report.running
        tracked.failed = report.failed
        tracked.next_start = None if report.next_in is None else time.time() + report.next_in
        tracked.since, tracked.restarts, tracked.effects = report.since, report.restarts, report.effects
        known, told = tracked.last_exit, report.last_exit
        # If both records are of the same end, keep ours: it has what the crash report found out.
        if known is None or told is None or known.at != told.at:
            tracked.last_exit = told if told is None else self._reporter.recalled(tracked.config.name, told)

    def _started(self, tracked: Tracked, pid: int, start_time: int, offsets: tuple[int, int]) -> None:
        tracked.started(pid, start_time)
        self._follow(tracked, offsets)
        if self._outputs is not None:
            spec, is_found = tracked.spec, self._is_catching_up
            self._outputs.bound(Path(spec.stdout_file), spec.user, is_found=is_found)
            self._outputs.bound(Path(spec.stderr_file), spec.user, is_found=is_found)
        if self._can_tell(tracked):
            self._listeners.started(tracked.config.name, pid)
        elif self._tasks is not None:
            tracked.untold += 1
            self._do(tracked.config.name, self._tell_start(tracked, pid))

    def _follow(self, tracked: Tracked, offsets: tuple[int, int] | None) -> None:
        """Follow a node's output files from these offsets on, or from their present ends."""
        if self._followers is None or not self._listeners.want_lines:
            return
        name, spec = tracked.config.name, tracked.spec
        stdout, stderr = Path(spec.stdout_file), Path(spec.stderr_file)
        at_stdout, at_stderr = offsets if offsets is not None else (_size(stdout), _size(stderr))
        self._followers.follow(stdout, at_stdout, lambda line: self._listeners.stdout_line(name, line), spec.user)
        self._followers.follow(stderr, at_stderr, lambda line: self._listeners.stderr_line(name, line), spec.user)

    # --- reporting to listeners

    def _do(self, node: str, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` as a task. An exception in it is logged, and ends nothing else."""

        async def guarded() -> None:
            try:
                await work
            except Exception:
                logger.exception("reporting an event of node '%s' failed", node, extra={"node": node})

        if self._tasks is None:
            work.close()
        else:
            self._tasks.create_task(guarded())

    def _can_tell(self, tracked: Tracked) -> bool:
        """Whether an event of a node can be reported at once, because no earlier one waits."""
        return not (tracked.untold or self._is_catching_up)

    @asynccontextmanager
    async def _turn(self, tracked: Tracked) -> AsyncIterator[None]:
        async with tracked.telling:
            try:
                yield
            finally:
                tracked.untold -= 1

    def _tell_report(self, tracked: Tracked, event: protocol.Exited, exit_: NodeExit) -> None:
        tracked.noted(exit_, event.at)
        self._listeners.ended(exit_)

    async def _tell_start(self, tracked: Tracked, pid: int) -> None:
        async with self._turn(tracked):
            self._listeners.started(tracked.config.name, pid)

    async def _tell_exit(self, tracked: Tracked, event: protocol.Exited, recurrence: Recurrence) -> None:
        stdout, stderr = Path(tracked.spec.stdout_file), Path(tracked.spec.stderr_file)
        async with self._turn(tracked):
            exit_, core = exit_of(event, recurrence), None
            try:
                if self._followers is not None:
                    await self._followers.read_to(stdout, event.stdout_end)
                    await self._followers.read_to(stderr, event.stderr_end)
                if self._reporter.is_quick(event):
                    exit_, core = self._reporter.report(tracked.spec, event, recurrence)
                else:
                    exit_, core = await asyncio.to_thread(self._reporter.report, tracked.spec, event, recurrence)
            except Exception:
                # Report the end all the same, without what could not be found out.
                logger.exception("reporting the end of node '%s' failed", event.name, extra={"node": event.name})
            self._tell_report(tracked, event, exit_)
        if core is not None:
            await self._reporter.add_backtrace(exit_, tracked.spec, core)

    async def _tell_failure(self, tracked: Tracked, event: protocol.LaunchFailed, recurrence: Recurrence) -> None:
        outputs = NodeOutputs(stdout="", stderr=event.reason)
        report = NodeExit(
            event.name,
            None,
            outputs,
            revive_in=event.revive_in,
            failed=event.failed,
            newly_failed=recurrence.newly_failed,
            restarts=tracked.restarts,
            attempt=recurrence.attempt,
            window=recurrence.window,
        )
        async with self._turn(tracked):
            self._listeners.ended(report)

    async def _tell_gone(self, tracked: Tracked) -> None:
        """Remove a node that the stem no longer has, unless another node has its name by now."""
        async with self._turn(tracked):
            if self.nodes.get(tracked.config.name) is tracked:
                self.drop(tracked.config.name)

    async def _forget_files(self, tracked: Tracked) -> None:
        async with tracked.telling:
            if self._followers is not None and tracked.config.name not in self.nodes:
                self._followers.forget(Path(tracked.spec.stdout_file))
                self._followers.forget(Path(tracked.spec.stderr_file))


def _config_of(spec: LaunchSpec) -> NodeConfig:
    """The configuration that a node was created with, from its directory; only name and directory if that fails.

    A node that runs as another user can change the file. It must still say who and where the node is.
    """
    try:
        with acting_as(spec.user):
            config = decode_config(read_regular(spec.env[NODE_CONFIG], LARGEST_CONFIG))
        problem = "" if spec.user is None or _is_of(config, spec) else "it is that of another node"
    except (KeyError, OSError, msgspec.MsgspecError) as error:
        problem = str(error)
    if not problem:
        return config
    logger.warning(
        "the configuration of node '%s' cannot be read: %s",
        spec.name,
        problem,
        extra={"node": spec.name, "error": problem},
    )
    return NodeConfig(name=spec.name, directory=spec.directory)


def _is_of(config: NodeConfig, spec: LaunchSpec) -> bool:
    directory = Path(config.directory or spec.directory).absolute()
    files = (directory / (config.stdout_file or "stdout"), directory / (config.stderr_file or "stderr"))
    is_there = (str(directory), *map(str, files)) == spec.paths
    return config.name == spec.name and is_there and MANAGEMENT_NODE not in config.env


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
