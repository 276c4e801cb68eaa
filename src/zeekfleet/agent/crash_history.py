"""The history of nodes: their last ends, whether they are connected to the others, and their crash reports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from zeekfleet.agent.control import SupervisorControl
from zeekfleet.agent.deployment import Deployer
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.roster import Entry, Roster
from zeekfleet.broker.events import supervision
from zeekfleet.errors import UnansweredError
from zeekfleet.lifecycle.wording import next_start_text
from zeekfleet.model.enums import State
from zeekfleet.model.names import directory_name
from zeekfleet.model.supervision import Diagnosis, NodeDetails, NodeReport
from zeekfleet.system.crash_reports import DIRECTORY_NAME, reports_below

logger = logging.getLogger(__name__)

FILE_LIMIT = 256 * 1024
"""The most bytes of each file of a crash report that are sent; of a longer file, its end is sent."""

FILES_LIMIT = 32


class CrashHistory:
    """Reports what happened to nodes.

    Args:
        roster: the state of the nodes.
        control: asks the supervisor for details.
        notifier: reports crashes to the controller at once.
        deployer: has the nodes' launch configurations.
        state_directory: the state directory, in which crash reports are.
    """

    def __init__(
        self,
        roster: Roster,
        control: SupervisorControl,
        notifier: Notifier,
        deployer: Deployer,
        state_directory: Path,
    ) -> None:
        self._roster = roster
        self._deployer = deployer
        self._control = control
        self._notifier = notifier
        self._crashes = state_directory / DIRECTORY_NAME

    async def reports(self) -> tuple[NodeReport, ...]:
        """Reports of all cluster nodes, sorted by name."""
        details = await self._details()
        entries = ((name, self._roster[name]) for name in sorted(self._roster.names))
        return tuple(_report(entry, details.get(name), self._deployer.required_peers(name)) for name, entry in entries)

    async def diagnosis(self, name: str) -> Diagnosis | None:
        """A node's last crash report, also of a node that has left the configuration.

        None if this instance has neither such a node nor a report of it.
        """
        details = (await self._details()).get(name)
        reports = await asyncio.to_thread(reports_below, self._crashes / directory_name(name))
        # Directories are named after the time. The clock may have been set back, so ask the supervisor for the last.
        latest = next((report for report in reports if details and str(report) == details.crash_report), None)
        if reports:
            latest = latest or reports[-1]
            return Diagnosis(name, str(latest), await asyncio.to_thread(_files, latest))
        is_ours = name in self._roster or details is not None
        return Diagnosis(name) if is_ours else None

    async def _details(self) -> Mapping[str, NodeDetails]:
        if not self._control.connected:
            return {}  # do not wait for the supervisor: a client wants to know what is wrong
        try:
            return await self._control.details()
        except UnansweredError as error:
            logger.warning("the supervisor does not tell details: %s", error, extra={"error": str(error)})
            return {}

    def ended(self, end: supervision.NodeExitDetail) -> None:
        """Report an abnormal end to the controller, with the place of the crash report."""
        if end.requested or end.node not in self._roster:
            return
        cause = "was killed for want of memory" if end.out_of_memory else end.reason
        self._roster.ended(end.node, cause, end.revive_in is None)
        next_ = next_start_text(end.revive_in, end.failed, end.attempt, end.window)
        facts: dict[str, object] = {
            "kind": "crash",
            "pid": end.pid,
            "exit": end.signal or end.code,
            "uptime": round(end.uptime, 3),
            "attempt": end.attempt,
            "next_start": end.revive_in,
        }
        report = ""
        if end.crash_report:
            report, facts["report"] = f"; report in {end.crash_report}", end.crash_report
        text = f"node {end.node} {cause} after {end.uptime:.1f} s; {next_}{report}"
        self._notifier.error(text, end.node, facts)

    def failed(self, event: supervision.NodeFailed) -> None:
        """Report a crash loop to the controller."""
        if event.node in self._roster:
            self._roster.unresponsive(event.node)
            facts = {"kind": "crash loop"}
            self._notifier.error(f"node {event.node} keeps failing: {event.reason}", event.node, facts)


def _report(entry: Entry, details: NodeDetails | None, wanted: frozenset[str]) -> NodeReport:
    since = entry.since
    if entry.life.was_found and entry.state is State.RUNNING and details is not None and details.pid == entry.pid:
        # Our own time is when this agent found the node, which was running before.
        since = min(since, details.since)
    missing = entry.missing if entry.state is State.RUNNING and entry.missing else frozenset()
    isolated = bool(missing) and missing >= wanted
    return NodeReport(entry.node.name, entry.node.role, entry.state, since, details, tuple(sorted(missing)), isolated)


def _files(directory: Path) -> dict[str, str]:
    """The directory's files, as text."""
    found: dict[str, str] = {}
    try:
        for file in sorted(directory.iterdir())[:FILES_LIMIT]:
            if file.is_file():
                with file.open("rb") as stream:
                    stream.seek(max(0, file.stat().st_size - FILE_LIMIT))
                    found[file.name] = stream.read(FILE_LIMIT).decode(errors="replace")
    except OSError as error:
        logger.warning(
            "the crash report in %s cannot be read: %s", directory, error.strerror, extra={"error": error.strerror}
        )
    return found
