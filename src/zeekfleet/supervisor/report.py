"""Makes the report of a node's end: its last output, whether memory ran out, and a crash report."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.variables import MANAGEMENT_NODE
from zeekfleet.stem.protocol import Exited, LastExit
from zeekfleet.supervisor.crash import CrashReports
from zeekfleet.supervisor.memory_kills import MemoryKills
from zeekfleet.supervisor.records import NodeExit, Recurrence, exit_of
from zeekfleet.supervisor.tail import last_lines
from zeekfleet.system.privileges import acting_as
from zeekfleet.system.process_end import is_kill

REFUSED = 1
"""The exit code of an agent or controller that cannot work with its settings. It logged the reason; it is no crash."""

BACKTRACE_PAUSE = 60.0
"""Seconds between two backtraces of one node: in a crash loop they would all be the same."""


class Reporter:
    """Makes reports.

    Args:
        crashes: stores reports of abnormal ends.
        lines: how many last lines of each stream a report has.
    """

    def __init__(self, crashes: CrashReports, lines: int) -> None:
        self._crashes = crashes
        self._lines = lines
        self._memory_kills = MemoryKills()
        self._debugging = asyncio.Lock()
        self._debugged: dict[str, float] = {}

    def last_crash(self, node: str) -> str:
        """The directory of a node's last crash report, ``""`` if there is none."""
        return self._crashes.last(node)

    def recalled(self, node: str, end: LastExit) -> LastExit:
        """An end as the stem tells it, with ``out_of_memory`` added from its crash report."""
        if end.requested or end.out_of_memory or not is_kill(end.code, end.signal):
            return end
        return msgspec.structs.replace(end, out_of_memory=self._crashes.tells_of_memory(node, end.at))

    def is_quick(self, event: Exited) -> bool:
        """Whether the report of this end needs no file: there is no output to read, and no crash report to write."""
        silent = event.stdout_end == event.stdout_offset and event.stderr_end == event.stderr_offset
        return silent and (event.requested or event.code == 0)

    def report(self, spec: LaunchSpec, event: Exited, recurrence: Recurrence) -> tuple[NodeExit, Path | None]:
        """The report of one end, and the core file if there is one. Reads and writes files: call it in a thread."""
        with acting_as(spec.user):
            outputs = NodeOutputs(
                stdout=self._last(spec.stdout_file, event.stdout_offset, event.stdout_end),
                stderr=self._last(spec.stderr_file, event.stderr_offset, event.stderr_end),
            )
        exit_ = msgspec.structs.replace(
            exit_of(event, recurrence),
            outputs=outputs,
            out_of_memory=event.out_of_memory or self._was_out_of_memory(event),
        )
        if event.requested or event.code == 0 or (event.code == REFUSED and MANAGEMENT_NODE in spec.env):
            return exit_, None
        written = self._crashes.write(spec, event, exit_)
        if written is None:
            return exit_, None
        directory, core = written
        return msgspec.structs.replace(exit_, crash_report=str(directory)), core

    def _last(self, file: str, start: int, end: int) -> str:
        return last_lines(Path(file), start, end, self._lines) if end != start else ""

    def _was_out_of_memory(self, event: Exited) -> bool:
        return (
            not event.requested
            and is_kill(event.code, event.signal)
            and self._memory_kills.killed(event.pid, event.start_time)
        )

    async def add_backtrace(self, exit_: NodeExit, spec: LaunchSpec, core: Path) -> None:
        """Add the backtrace of a core to the crash report; one core at a time."""
        async with self._debugging:
            now = time.monotonic()
            if now - self._debugged.get(exit_.node, -BACKTRACE_PAUSE) < BACKTRACE_PAUSE:
                return
            self._debugged[exit_.node] = now
            await asyncio.to_thread(self._crashes.add_backtrace, Path(exit_.crash_report), spec, core)
