"""What zeekfleet's Supervisor reports in addition to the protocol. Zeek's framework has no such records."""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.types import Count, Integer, Record

_MEGABYTE = 1_000_000


def work_text(written: int, cpu: float) -> str:
    """What a node does after it was told to end, such as ``still writing, 110 MB``.

    Args:
        written: bytes that it has written since it was told to end.
        cpu: seconds of CPU that it has used since then.
    """
    if written >= _MEGABYTE:
        return f"still writing, {written // _MEGABYTE} MB"
    return f"still working, {cpu:.0f} s of CPU"


class ProcessState(enum.StrEnum):
    """What a Supervisor tells of a node's process; ``lifecycle/states.py`` compares it with other words for a state."""

    RUNNING = "running"
    """It is there."""

    WAITING = "waiting"
    """There is none, and the node is started again, or is being started."""

    FAILED = "failed"
    """There is none, since it is in a crash loop or cannot be started. It may be tried again, at long intervals."""


class NodeDetails(Record, frozen=True):
    """A node as its Supervisor sees it; times are Unix times, in seconds.

    Attributes:
        node: its name.
        state: one of :class:`ProcessState`.
        pid: the process id of its present process, or of its last one.
        since: when ``state`` began.
        restarts: how often it was started again.
        resources: the limits that are in effect for its process.
        exited_at: when its last process ended; None if none has. The following fields describe that end.
        code: the exit code; None if a signal ended it, or it is unknown.
        signal: the name of the signal.
        core_dumped: whether it left a core.
        requested: whether it was told to end.
        out_of_memory: whether the kernel killed it because memory was short.
        crash_report: the directory of its last crash report; ``""`` if there is none.
        next_start: when it will be started again; None if it runs, or will not be started.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::Supervisor::NodeDetails"

    node: str
    state: str
    pid: Count | None = None
    since: float = 0.0
    restarts: Count = 0
    resources: dict[str, str] = msgspec.field(default_factory=dict)
    exited_at: float | None = None
    code: Integer | None = None
    signal: str | None = None
    core_dumped: bool = False
    requested: bool = False
    out_of_memory: bool = False
    crash_report: str = ""
    next_start: float | None = None

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self.state == ProcessState.RUNNING

    @property
    def failed(self) -> bool:
        """Whether it is in a crash loop, or cannot be started."""
        return self.state == ProcessState.FAILED


class NodeReport(Record, frozen=True):
    """A cluster node as its agent sees it.

    Attributes:
        node: its name.
        role: its role in the cluster.
        state: its state.
        since: when that state began, in seconds since 1970.
        details: what its supervisor knows; None if the supervisor does not answer such requests.
        missing: the nodes that it should be connected to and is not, sorted.
        isolated: whether it is connected to none of the nodes that it should be connected to.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::NodeReport"

    node: str
    role: ClusterRole
    state: State
    since: float
    details: NodeDetails | None = None
    missing: tuple[str, ...] = ()
    isolated: bool = False

    @property
    def condition(self) -> str:
        """Its state for a person, such as ``running``, ``running, no peers`` or ``running, without logger-1``."""
        if not self.missing:
            return self.state.name.lower()
        return f"{self.state.name.lower()}, {'no peers' if self.isolated else 'without ' + ', '.join(self.missing)}"


class Diagnosis(Record, frozen=True):
    """A node's last crash report.

    Attributes:
        node: its name.
        path: the report's directory, on the node's host; ``""`` if there is none.
        files: the report's files, by name; each is cut to a limit.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::Diagnosis"

    node: str
    path: str = ""
    files: dict[str, str] = msgspec.field(default_factory=dict)
