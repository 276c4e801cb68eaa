"""The records that a Supervisor keeps of its nodes, and those that it gives to callbacks."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque

import msgspec

from zeekfleet.lifecycle.states import process_state
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.supervision import NodeDetails, work_text
from zeekfleet.model.supervisor import NodeConfig, NodeStatus
from zeekfleet.stem.protocol import Exited, LastExit, LaunchFailed

MOST_ENDS = 1000
"""Up to so many ends of a node are counted; more within the window are reported as this number."""


def name_of_signal(number: int) -> str:
    """Such as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class NodeExit(msgspec.Struct, frozen=True):
    """A node's process ended, or could not be started.

    Attributes:
        node: its name.
        pid: the process; None if it could not be started.
        outputs: the last lines of both streams since the start; if the start failed, ``stderr`` is the reason.
        code: exit code; None if a signal ended it, or the exit status was lost.
        signal: the number of the signal that ended it.
        core_dumped: it left a core.
        requested: it was stopped on request.
        revive_in: seconds until it is started again, None for never.
        failed: it is in a crash loop, or has failed to start for too long.
        newly_failed: this was not so before this end.
        out_of_memory: the kernel killed it because memory ran out.
        uptime: seconds that the process ran.
        restarts: how often the node had been restarted.
        crash_report: the directory of its crash report, ``""`` if there is none.
        attempt: how many times it ended by itself within ``window``, this one included; 0 if it was stopped on request.
        window: seconds over which ends are counted.
    """

    node: str
    pid: int | None
    outputs: NodeOutputs
    code: int | None = None
    signal: int | None = None
    core_dumped: bool = False
    requested: bool = False
    revive_in: float | None = None
    failed: bool = False
    newly_failed: bool = False
    out_of_memory: bool = False
    uptime: float = 0.0
    restarts: int = 0
    crash_report: str = ""
    attempt: int = 0
    window: float = 0.0

    @property
    def signal_name(self) -> str | None:
        """Such as ``SIGKILL``; None if no signal ended it."""
        return None if self.signal is None else name_of_signal(self.signal)

    def __str__(self) -> str:
        """How it ended, for a person."""
        if self.pid is None:
            return f"could not be started: {self.outputs.stderr}"
        memory = ", the kernel was out of memory for it" if self.out_of_memory else ""
        if self.signal_name is not None:
            return f"was killed by {self.signal_name}{', core dumped' if self.core_dumped else ''}{memory}"
        if self.code is not None:
            return f"exited with code {self.code}{memory}"
        return f"ended{memory or ', with an unknown exit status'}"


class NodeStopping(msgspec.Struct, frozen=True):
    """A node that was asked to end is still working, and is not killed yet.

    Attributes:
        node: its name.
        pid: the process.
        written: bytes that it has written since it was asked.
        cpu: seconds of CPU that it has used since.
        elapsed: seconds since it was asked.
    """

    node: str
    pid: int
    written: int
    cpu: float
    elapsed: float

    def __str__(self) -> str:
        """What it is doing, for a person."""
        return work_text(self.written, self.cpu)


class Recurrence(msgspec.Struct, frozen=True):
    """How an end relates to those before it; the fields are those of :class:`NodeExit`."""

    newly_failed: bool = False
    attempt: int = 0
    window: float = 0.0


def exit_of(event: Exited, recurrence: Recurrence) -> NodeExit:
    """The report of an end, as far as the stem's event tells it."""
    return NodeExit(
        node=event.name,
        pid=event.pid,
        outputs=NodeOutputs(stdout="", stderr=""),
        code=event.code,
        signal=event.signal,
        core_dumped=event.core_dumped,
        requested=event.requested,
        revive_in=event.revive_in,
        failed=event.failed,
        newly_failed=recurrence.newly_failed,
        out_of_memory=event.out_of_memory,
        uptime=event.uptime,
        restarts=event.restarts,
        attempt=recurrence.attempt,
        window=recurrence.window,
    )


class Tracked:
    """What is known of one node. Only messages of the stem change it."""

    def __init__(self, config: NodeConfig, spec: LaunchSpec) -> None:
        self.config = config
        self.spec = spec
        self.pid: int | None = None
        self.start_time: int | None = None
        self.running = False
        self.failed = False
        self.since = time.time()
        self.restarts = 0
        self.effects: dict[str, str] = {}
        self.last_exit: LastExit | None = None
        self.crash_report = ""
        self.recovered = False
        """The stem lost its launch and rebuilt it from the process, so that parts are missing (``recovery``)."""
        self.in_trouble = False
        """It was reported as failed and has not run for long since. Unlike ``failed``, a start does not clear it."""
        self.next_start: float | None = None
        """The Unix time of its next start; None if it runs, or is not started again."""
        self._ends: deque[float] = deque(maxlen=MOST_ENDS)
        self.telling = asyncio.Lock()
        """Held while callbacks about this node run, so that they come in the order of the events."""
        self.untold = 0
        """How many events of it wait for a task to report them. At 0, the next event can be reported at once."""

    def status(self) -> NodeStatus:
        """Its status in the protocol: the current or last known process id."""
        return NodeStatus(node=self.config, pid=self.pid)

    def started(self, pid: int, start_time: int) -> None:
        """Its process was started."""
        self.pid, self.start_time = pid, start_time
        self.running = True
        self.failed = False
        self.next_start = None

    def ended(self, event: Exited) -> Recurrence:
        """Its process has ended."""
        recurrence = self._recurs(event.failed, event.requested, event.revive_in, event.at)
        self.since = event.at
        self.last_exit = LastExit(
            event.at, event.code, event.signal, event.core_dumped, event.requested, event.out_of_memory
        )
        return recurrence

    def not_started(self, event: LaunchFailed) -> Recurrence:
        """It could not be started."""
        return self._recurs(event.failed, False, event.revive_in, time.time())

    def _recurs(self, failed: bool, requested: bool, revive_in: float | None, now: float) -> Recurrence:
        newly_failed = failed and not self.in_trouble
        self.running = False
        self.failed = self.in_trouble = failed
        self.next_start = None if revive_in is None else now + revive_in
        if requested:
            self._ends.clear()
            return Recurrence(newly_failed)
        window = self.spec.revival.loop_window
        self._ends.append(now)
        while self._ends[0] < now - window:
            self._ends.popleft()
        return Recurrence(newly_failed, len(self._ends), window)

    def noted(self, exit_: NodeExit, at: float) -> None:
        """Add what the report of its end at this Unix time found out."""
        if exit_.crash_report:
            self.crash_report = exit_.crash_report
        if exit_.out_of_memory and self.last_exit is not None and self.last_exit.at == at:
            self.last_exit = msgspec.structs.replace(self.last_exit, out_of_memory=True)

    def details(self) -> NodeDetails:
        """All that is known, as it is sent to agents."""
        last = self.last_exit
        return NodeDetails(
            node=self.config.name,
            state=process_state(self.running, self.failed),
            pid=self.pid,
            since=self.since,
            restarts=self.restarts,
            resources=self.effects,
            exited_at=None if last is None else last.at,
            code=None if last is None else last.code,
            signal=None if last is None or last.signal is None else name_of_signal(last.signal),
            core_dumped=last is not None and last.core_dumped,
            requested=last is not None and last.requested,
            out_of_memory=last is not None and last.out_of_memory,
            crash_report=self.crash_report,
            next_start=self.next_start,
        )
