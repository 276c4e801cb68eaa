"""What is told of a node to whoever listens, and what is written down of it for the next stem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from zeekfleet.stem import spawn
from zeekfleet.stem.ending import Ending
from zeekfleet.stem.protocol import Exited, LastExit, NodeReport
from zeekfleet.stem.records import ProcessRecord
from zeekfleet.system import procfs

if TYPE_CHECKING:
    from zeekfleet.stem.node import Node


def report_of(node: Node, now: float) -> NodeReport:
    """All there is to know, but for the content of files: they may be large, and lie in the node's directory.

    Args:
        node: it.
        now: the time by the clock of the timers.
    """
    return NodeReport(
        spec=msgspec.structs.replace(node.spec, files={}),
        pid=node.pid,
        start_time=node.start_time,
        running=node.is_running,
        failed=node.failed,
        restarts=max(0, node.restarts),
        stdout_offset=node.offsets[0],
        stderr_offset=node.offsets[1],
        since=node.since,
        effects=node.effects,
        last_exit=node.last_exit,
        recovered=node.recovered,
        next_in=None if node.is_running or node.due is None else max(0.0, node.due - now),
    )


def exit_of(node: Node, ending: Ending, last: LastExit, revive_in: float | None) -> Exited:
    """Its process has ended, as ``last`` tells, too."""
    start_time = node.start_time or 0
    return Exited(
        name=node.spec.name,
        pid=node.pid or 0,
        start_time=start_time,
        code=ending.code,
        signal=ending.signal,
        core_dumped=ending.core_dumped,
        requested=last.requested,
        revive_in=revive_in,
        failed=node.failed,
        stdout_offset=node.offsets[0],
        stdout_end=spawn.size_of(node.spec.stdout_file),
        stderr_offset=node.offsets[1],
        stderr_end=spawn.size_of(node.spec.stderr_file),
        at=last.at,
        uptime=procfs.uptime(start_time) if start_time else 0.0,
        restarts=max(0, node.restarts),
        out_of_memory=last.out_of_memory,
        usage=ending.usage,
        limits=ending.limits,
        effects=node.effects,
    )


def record_of(node: Node) -> ProcessRecord:
    """What the next stem has to go by: the process, or else what is to become of it."""
    process = (node.pid, node.start_time) if node.is_running else (None, None)
    memory = node.revival.memory()
    return ProcessRecord(
        name=node.spec.name,
        pid=process[0],
        start_time=process[1],
        stdout_offset=node.offsets[0],
        stderr_offset=node.offsets[1],
        restarts=node.restarts,
        since=node.since,
        effects=node.effects,
        last_exit=node.last_exit,
        former=None if node.is_running else node.pid,
        ended=not node.is_running and node.due is None,
        failed=node.failed,
        due=None if node.is_running else node.due,
        past=memory if memory.ends else None,
    )


def recall(node: Node, record: ProcessRecord) -> None:
    """Have a node know what an earlier stem knew of it."""
    node.offsets = (record.stdout_offset, record.stderr_offset)
    node.restarts = record.restarts
    node.since = record.since
    node.effects = record.effects
    node.last_exit = record.last_exit
    node.failed = record.failed
    node.due = record.due
    node.pid = record.former
    if record.past is not None:
        node.revival.recall(record.past)
