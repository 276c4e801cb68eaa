"""Finds nodes that run but do not respond, or do not come up; reports them, and ends them so that they are revived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from zeekfleet.agent.dispatch import PING, NodeDispatcher
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.roster import Roster
from zeekfleet.model.enums import State
from zeekfleet.node.engine import NodeLinks

logger = logging.getLogger(__name__)

ASK_TO_END = "SIGTERM"
DUMP_CORE = "SIGABRT"
"""The signal for a process that hangs: if cores are enabled, it leaves one that shows where it hangs."""


class HealthSettings(msgspec.Struct, frozen=True):
    """When a node counts as unhealthy.

    Attributes:
        interval: seconds between two checks of a running node; 0 switches checks off.
        misses: after so many unanswered checks in a row a node has failed.
        start_limit: seconds that a started node has to say hello.
        restart: whether a failed node is ended, and so revived, or only reported.
        peer_limit: after so many seconds a missing connection of a running node is reported.
    """

    interval: float = 10.0
    misses: int = 3
    start_limit: float = 60.0
    restart: bool = True
    peer_limit: float = 30.0


class HealthWatch:
    """Checks running nodes, and watches those that are starting.

    Args:
        settings: when a node counts as unhealthy.
        roster: the state of the nodes.
        dispatcher: pings nodes.
        links: switched to another connection if no node answers: probably not all nodes have failed at once.
        notifier: reports to the controller.
        end: ends a node's process; its arguments are the node's name, the process id and the first signal.
    """

    def __init__(
        self,
        settings: HealthSettings,
        roster: Roster,
        dispatcher: NodeDispatcher,
        links: NodeLinks,
        notifier: Notifier,
        end: Callable[[str, int, str], Awaitable[object]],
    ) -> None:
        self._settings = settings
        self._roster = roster
        self._dispatcher = dispatcher
        self._links = links
        self._notifier = notifier
        self._end = end
        self._missed: dict[str, int] = {}
        self._reported_cut_off: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_starts(group))
            group.create_task(self._watch_peers())
            if self._settings.interval:
                group.create_task(self._watch_running())

    async def _watch_starts(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            name, overdue_in = await self._roster.next_overdue(self._settings.start_limit)
            if overdue_in > 0:
                await self._roster.wait_for_change(overdue_in)  # another may be due earlier
                continue
            why = f"has not said hello within {self._settings.start_limit:g} s"
            if self._roster.silent(name):
                why += ", time after time: it is tried again more slowly"
            # In parallel, since each node may need its whole grace to end.
            tasks.create_task(self._failed(name, why, ASK_TO_END))

    async def _watch_peers(self) -> None:
        """Report running nodes that have lacked connections to others for too long, and when they have them again."""
        while True:
            await self._roster.wait_for_change(self._report_cut_off())

    def _report_cut_off(self) -> float | None:
        """Report now; returns the seconds until the next node will have been cut off for too long, or None."""
        due = [
            (overdue_in, name)
            for name in sorted(self._roster.names - self._reported_cut_off)
            if (overdue_in := self._roster.cut_off_overdue(name, self._settings.peer_limit)) is not None
        ]
        for overdue_in, name in due:
            if overdue_in <= 0:
                self._reported_cut_off.add(name)
                missing = ", ".join(sorted(self._roster.cut_off(name)))
                limit = f"{self._settings.peer_limit:g} s"
                self._notifier.error(f"node {name} runs, but has not been connected to {missing} for {limit}", name)
        for name in sorted(self._reported_cut_off):
            if not self._roster.cut_off(name):
                self._reported_cut_off.discard(name)
                entry = self._roster.get(name)
                if entry is not None and entry.state is State.RUNNING:
                    self._notifier.log(f"node {name} is connected to all nodes that it needs", name)
        return min((overdue_in for overdue_in, _ in due if overdue_in > 0), default=None)

    async def _watch_running(self) -> None:
        while True:
            await asyncio.sleep(self._settings.interval)
            asked = self._roster.running()
            self._missed = {name: count for name, count in self._missed.items() if name in asked}
            if asked:
                answers = await self._dispatcher.ask(PING, asked, self._settings.interval)
                await self._count_unanswered({name for name, answer in answers.items() if answer is None}, asked)

    async def _count_unanswered(self, silent: set[str], asked: frozenset[str]) -> None:
        """Count unanswered checks. A node that has answered, or has changed its state, starts from 0 again."""
        silent &= self._roster.running()
        if self._links.switch_connection(silent, asked):
            logger.warning("no node answers on this connection; connecting to another node")
            return
        self._missed = {name: self._missed.get(name, 0) + 1 for name in silent}
        # In parallel, since each node may need its whole grace to end.
        async with asyncio.TaskGroup() as group:
            for name in sorted(name for name, count in self._missed.items() if count >= self._settings.misses):
                del self._missed[name]
                why = f"has not answered {self._settings.misses} health checks"
                group.create_task(self._failed(name, why, DUMP_CORE))

    async def _failed(self, name: str, why: str, first: str) -> None:
        entry = self._roster.get(name)
        if entry is None or entry.pid is None:
            return
        self._roster.unresponsive(name)
        then = "; ending it" if self._settings.restart else ""
        self._notifier.error(f"node {name} {why}{then}", name)
        if self._settings.restart:
            await self._end(name, entry.pid, first)
