"""What a Supervisor knows of its nodes, and what it tells when one has ended."""

from __future__ import annotations

import asyncio
import signal

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.supervisor import NodeConfig, NodeStatus


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

    def __str__(self) -> str:
        """How it ended, for a person."""
        if self.pid is None:
            return f"could not be started: {self.outputs.stderr}"
        if self.signal is not None:
            try:
                name = signal.Signals(self.signal).name
            except ValueError:
                name = f"signal {self.signal}"
            return f"ended by {name}{', core dumped' if self.core_dumped else ''}"
        return "ended, nobody knows how" if self.code is None else f"exited with code {self.code}"


class Tracked:
    """One node; changed only by what the stem tells."""

    def __init__(self, config: NodeConfig, spec: LaunchSpec) -> None:
        self.config = config
        self.spec = spec
        self.pid: int | None = None
        self.start_time: int | None = None
        self.running = False
        self.failed = False
        self.telling = asyncio.Lock()
        """Held while callbacks about it run, so that they come in order."""

    def status(self) -> NodeStatus:
        """As the protocol has it: the current or last known process id."""
        return NodeStatus(node=self.config, pid=self.pid)
