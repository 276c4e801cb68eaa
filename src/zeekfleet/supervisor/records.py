"""What a Supervisor knows of its nodes, and what it tells when one has ended."""

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
"""Ends of a node that are counted; more within the window are told as that many."""


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
        outputs: the last lines of both streams since that start; for a failed start, why as ``stderr``.
        code: exit code; None if a signal ended it, or nobody saw it end.
        signal: the number of the signal that ended it.
        core_dumped: it left a core.
        requested: it was stopped on request.
        revive_in: seconds until it is started again, None for never.
        failed: it is in a crash loop, or cannot be started for too long.
        newly_failed: it was not, until now.
        out_of_memory: the kernel killed it for want of memory.
        uptime: seconds that it lived.
        restarts: how often it had been started again.
        crash_report: the directory of its crash report, ``""`` if there is none.
        attempt: which end by itself it was within ``window``, counted from 1; 0 if it was stopped on request.
        window: the seconds within which ends are counted.
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
        return f"ended{memory or ', nobody knows how'}"


class NodeStopping(msgspec.Struct, frozen=True):
    """A node that was asked to end still works, and is given time.

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
        """What it does, for a person."""
        return work_text(self.written, self.cpu)


class Recurrence(msgspec.Struct, frozen=True):
    """What an end means beside those before it; fields as in :class:`NodeExit`."""

    newly_failed: bool = False
    attempt: int = 0
    window: float = 0.0


def exit_of(event: Exited, recurrence: Recurrence) -> NodeExit:
    """What the stem's event tells of an end, and those before it."""
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
    """One node; changed only by what the stem tells."""

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
        """What it is launched with is known as far as its process shows it."""
        self.in_trouble = False
        """Told as failed, and not up for long since: ``failed`` is cleared at every new start."""
        self.next_start: float | None = None
        """When it is started again, in seconds since 1970, if it does not run and is to."""
        self._ends: deque[float] = deque(maxlen=MOST_ENDS)
        self.telling = asyncio.Lock()
        """Held while callbacks about it run, so that they come in order."""
        self.untold = 0
        """What its listeners have yet to be told by tasks; while that is nothing, they can be told at once."""

    def status(self) -> NodeStatus:
        """As the protocol has it: the current or last known process id."""
        return NodeStatus(node=self.config, pid=self.pid)

    def started(self, pid: int, start_time: int) -> None:
        """It has a process."""
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
        """Take over what a closer look has told of its end at a Unix time."""
        if exit_.crash_report:
            self.crash_report = exit_.crash_report
        if exit_.out_of_memory and self.last_exit is not None and self.last_exit.at == at:
            self.last_exit = msgspec.structs.replace(self.last_exit, out_of_memory=True)

    def details(self) -> NodeDetails:
        """All that is known."""
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
