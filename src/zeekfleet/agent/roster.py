"""What the agent knows about its nodes. Every change of a node's state is reported from here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from zeekfleet.lifecycle.node_life import Moves, NodeLife
from zeekfleet.model.enums import State
from zeekfleet.model.management import Node, NodeOutputs
from zeekfleet.waiting import Signal

OnChange = Callable[[Node, State, State], None]


@dataclass(slots=True)
class Entry:
    """One node.

    Attributes:
        node: the node as configured.
        life: its state, its process, and the outcome of its launch.
        since: when its state began, in seconds since 1970.
        outputs: the last lines of its last process that ended by itself.
        missing: the nodes that it should be connected to and is not; None if it has not reported this yet.
        missing_since: since when ``missing`` is not empty, by the monotonic clock.
    """

    node: Node
    life: NodeLife = field(default_factory=NodeLife)
    since: float = field(default_factory=time.time)
    outputs: NodeOutputs | None = None
    missing: frozenset[str] | None = None
    missing_since: float = 0.0

    @property
    def state(self) -> State:
        """The node's state."""
        return self.life.state

    @property
    def pid(self) -> int | None:
        """Its process id; None if it has no process, or the supervisor has not reported it yet."""
        return self.life.pid

    @property
    def failed(self) -> bool:
        """Whether its launch has failed."""
        return self.life.failed


class Roster:
    """The instance's nodes.

    Args:
        on_change: called at every change of a node's state, with the node, the old and the new state.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, on_change: OnChange, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._on_change = on_change
        self._changed = Signal()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def get(self, name: str) -> Entry | None:
        """A node's entry, or None."""
        return self._entries.get(name)

    @property
    def names(self) -> frozenset[str]:
        """The names of all nodes."""
        return frozenset(self._entries)

    def overlap(self, names: frozenset[str]) -> frozenset[str]:
        """The named nodes that are ours; all of ours if no node is named."""
        return names & self.names if names else self.names

    def pending(self) -> frozenset[str]:
        """The nodes whose process runs and has not said hello."""
        return frozenset(name for name, entry in self._entries.items() if entry.life.awaits_hello)

    def running(self) -> frozenset[str]:
        """The nodes that are up."""
        return frozenset(name for name, entry in self._entries.items() if entry.state is State.RUNNING)

    @property
    def all_running(self) -> bool:
        """Whether every node is up."""
        return all(entry.state is State.RUNNING for entry in self._entries.values())

    async def next_overdue(self, limit: float) -> tuple[str, float]:
        """The pending node whose time to say hello is over first, and in how many seconds that will be.

        Waits until there is a pending node.

        Args:
            limit: how many seconds a start may take.
        """
        while not (silent := [self._entries[name] for name in self.pending()]):
            await self._changed.next()
        first = min(silent, key=lambda entry: entry.life.hello_due(limit))
        return first.node.name, first.life.hello_due(limit) - self._clock()

    async def wait_for_change(self, within: float | None) -> None:
        """Wait until anything changes, but no longer than ``within`` seconds, if that is given."""
        try:
            async with asyncio.timeout(within):
                await self._changed.next()
        except TimeoutError:
            return

    def keep(self, nodes: Iterable[Node]) -> None:
        """Replace the nodes by these; nodes that are in both keep their entries."""
        known = self._entries
        self._entries = {}
        for node in nodes:
            entry = known.pop(node.name, None) or Entry(node)
            entry.node = node
            self._entries[node.name] = entry
        for entry in known.values():
            self._report(entry, entry.life.removed())

    def launching(self, name: str) -> None:
        """The node is about to be started, or restarted, on request."""
        entry = self._entries[name]
        entry.outputs, entry.missing = None, None
        self._report(entry, entry.life.launched())

    def refused(self, name: str, problem: str) -> None:
        """The supervisor could not create the node."""
        if entry := self._entries.get(name):
            self._report(entry, entry.life.refused(problem))

    def started(self, name: str, pid: int) -> None:
        """A process of the node was started."""
        if entry := self._entries.get(name):
            self._report(entry, entry.life.started(pid, self._clock()))

    def found(self, name: str, pid: int | None) -> None:
        """The supervisor's list has this process. Earlier reports about it may have been lost."""
        if pid is not None and (entry := self._entries.get(name)):
            self._report(entry, entry.life.found(pid, self._clock()))

    def found_ended(self, name: str, has_failed: bool) -> None:
        """The supervisor's list has the node, but its last process has ended.

        Args:
            name: the node.
            has_failed: it is in a crash loop, or cannot be started.
        """
        if entry := self._entries.get(name):
            self._report(entry, entry.life.found_ended(has_failed))

    def hello(self, name: str) -> None:
        """The node said hello, or answered."""
        if entry := self._entries.get(name):
            self._report(entry, entry.life.said_hello())

    def exited(self, name: str, outputs: NodeOutputs) -> None:
        """The node's process has ended."""
        entry = self._entries.get(name)
        if entry is None or entry.life.predecessor_stops:
            return
        entry.outputs, entry.missing = outputs, None
        self._report(entry, entry.life.exited())

    def ended(self, name: str, reason: str, over: bool) -> None:
        """How the node's process ended by itself, or why it was not started; ``over`` if it is not started again."""
        if entry := self._entries.get(name):
            entry.life.ended(reason, over)
            self._changed.notify()

    def peers(self, name: str, missing: Iterable[str]) -> None:
        """The node reports the nodes that it should be connected to and is not."""
        entry = self._entries.get(name)
        if entry is None:
            return
        reported = frozenset(missing)
        if reported and not entry.missing:
            entry.missing_since = self._clock()
        entry.missing = reported
        self._changed.notify()

    def cut_off(self, name: str) -> frozenset[str]:
        """The missing peers of a running node, without those that are known to be down."""
        entry = self._entries.get(name)
        if entry is None or entry.state is not State.RUNNING or not entry.missing:
            return frozenset()
        down = {other for other, row in self._entries.items() if row.state is not State.RUNNING}
        return entry.missing - down

    def cut_off_overdue(self, name: str, limit: float) -> float | None:
        """In how many seconds the node will have been cut off for ``limit`` seconds; None if it is not cut off."""
        return self._entries[name].missing_since + limit - self._clock() if self.cut_off(name) else None

    async def wait_until_connected(self, names: Collection[str], within: float) -> None:
        """Wait until none of these nodes is cut off, but no longer than ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                while any(self.cut_off(name) for name in names):
                    await self._changed.next()
        except TimeoutError:
            return

    def unresponsive(self, name: str) -> None:
        """The node's process runs and does not respond."""
        if entry := self._entries.get(name):
            self._report(entry, entry.life.does_not_respond())

    def silent(self, name: str) -> bool:
        """The node's process has not said hello in time; it gets the same time again.

        Returns:
            Whether so many of its processes in a row have been silent that it is started more slowly.
        """
        entry = self._entries[name]
        self._report(entry, entry.life.kept_silent(self._clock()))
        return entry.life.keeps_silent

    def lost(self) -> None:
        """The supervisor cannot be reached, so it is unknown whether the nodes run."""
        for entry in self._entries.values():
            self._report(entry, entry.life.lost())

    async def progress(self, names: Collection[str], on_progress: Callable[[], None]) -> None:
        """Call ``on_progress`` whenever one more of these nodes has come up or failed; until cancelled."""
        known = self._settled(names)
        while True:
            await self._changed.next()
            before, known = known, self._settled(names)
            if known - before:
                on_progress()

    def _settled(self, names: Collection[str]) -> set[str]:
        return {name for name in names if name in self._entries and self._entries[name].life.is_settled}

    async def wait_until_settled(self, names: Collection[str]) -> None:
        """Wait until the launch of each of these nodes has succeeded or failed, or the node is gone."""
        while any(name in self._entries and not self._entries[name].life.is_settled for name in names):
            await self._changed.next()

    async def wait_until_failed(self, name: str) -> None:
        """Wait until the node's launch has failed, or the node is gone."""
        while name in self._entries and not self._entries[name].failed:
            await self._changed.next()

    def _report(self, entry: Entry, moves: Moves) -> None:
        for old, new in moves:
            entry.since = time.time()
            self._on_change(msgspec.structs.replace(entry.node, state=new), old, new)
        self._changed.notify()
