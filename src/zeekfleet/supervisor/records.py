"""What a Supervisor knows of its nodes, and what it tells when one has ended."""

from __future__ import annotations

import asyncio
import signal
import time

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.supervision import NodeDetails, words_of_work
from zeekfleet.model.supervisor import NodeConfig, NodeStatus
from zeekfleet.stem.protocol import Exited, LastExit


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
            return f"ended by {self.signal_name}{', core dumped' if self.core_dumped else ''}{memory}"
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
        return words_of_work(self.written, self.cpu)


def exit_of(event: Exited, newly_failed: bool) -> NodeExit:
    """What the stem's event alone tells of an end."""
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
        newly_failed=newly_failed,
        out_of_memory=event.out_of_memory,
        uptime=event.uptime,
        restarts=event.restarts,
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
        self.telling = asyncio.Lock()
        """Held while callbacks about it run, so that they come in order."""
        self.untold = 0
        """What its listeners have yet to be told by tasks; while that is nothing, they can be told at once."""

    def status(self) -> NodeStatus:
        """As the protocol has it: the current or last known process id."""
        return NodeStatus(node=self.config, pid=self.pid)

    def ended(self, event: Exited) -> None:
        """Its process has ended."""
        self.running = False
        self.failed = self.in_trouble = event.failed
        self.since = event.at
        self.last_exit = LastExit(
            event.at, event.code, event.signal, event.core_dumped, event.requested, event.out_of_memory
        )

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
            state="running" if self.running else "failed" if self.failed else "waiting",
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
        )
