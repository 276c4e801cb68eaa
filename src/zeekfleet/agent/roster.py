"""What the agent knows of its nodes: one entry a node, one door for every change of state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from zeekfleet.lifecycle.transitions import Cause, after
from zeekfleet.model.enums import State
from zeekfleet.model.management import Node, NodeOutputs

EARLY_EXITS_TO_FAIL = 2
"""A node that ended this often without a hello has failed, as far as a deploy is concerned.

One end alone may be an accident, such as a port that a predecessor has not let go of yet.
"""

SILENT_LIVES_TO_FAIL = 3
"""A node that has been ended this often in a row for want of a hello stays a failed one until it says hello."""

SLOW = 10
"""How many times longer a failed one is given to say hello."""

OnChange = Callable[[Node, State, State], None]


@dataclass(slots=True)
class Entry:
    """One node.

    Attributes:
        node: as configured.
        state: where it is in its life.
        pid: the running process, once the supervisor has told it.
        outputs: the last lines of its latest process that ended by itself.
        early_exits: how often it ended without a hello, since it was last launched on request.
        problem: why the supervisor could not create it.
        greeted: it said hello before the supervisor told its pid.
        expected_end: we have asked for the present process' end, which is thus no crash.
        started_at: when its process was started, by the monotonic clock.
        last_end: how its latest process ended by itself, or why it could not be started; part of a sentence.
        over: its latest process has ended by itself, and it is not started again.
        given_up: it was told to be unresponsive in its present life.
        silent_lives: how often in a row it was ended for want of a hello.
        since: when its state began, in seconds since 1970.
        found: its present process was there before we came; it has been up for longer than we know.
        missing: nodes that it must be connected to and is not, as it has told; None while it has told nothing.
        missing_since: since when there are any, by the monotonic clock.
    """

    node: Node
    state: State = State.UNKNOWN
    pid: int | None = None
    outputs: NodeOutputs | None = None
    early_exits: int = 0
    problem: str | None = None
    greeted: bool = False
    expected_end: bool = False
    started_at: float = 0.0
    last_end: str = ""
    over: bool = False
    given_up: bool = False
    silent_lives: int = 0
    since: float = field(default_factory=time.time)
    found: bool = False
    missing: frozenset[str] | None = None
    missing_since: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether it is known not to come up."""
        hardly_comes = self.given_up or self.hopeless or self.over
        return hardly_comes or self.problem is not None or self.early_exits >= EARLY_EXITS_TO_FAIL

    @property
    def awaits_hello(self) -> bool:
        """Whether its process runs, and a hello is what is missing."""
        return self.pid is not None and (self.state is State.PENDING or (self.hopeless and self.state is State.FAILED))

    @property
    def hopeless(self) -> bool:
        """Whether it is hardly going to say hello."""
        return self.silent_lives >= SILENT_LIVES_TO_FAIL

    @property
    def settled(self) -> bool:
        """Whether the outcome of its launch is known."""
        return self.state is State.RUNNING or self.failed


class Roster:
    """The instance's nodes.

    Args:
        on_change: called at every change of a node's state, with the node, the old and the new state.
        clock: monotonic, in seconds.
    """

    def __init__(self, on_change: OnChange, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._on_change = on_change
        self._changed = asyncio.Event()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def get(self, name: str) -> Entry | None:
        """A node's entry, if there is one."""
        return self._entries.get(name)

    @property
    def names(self) -> frozenset[str]:
        """All nodes."""
        return frozenset(self._entries)

    def overlap(self, names: frozenset[str]) -> frozenset[str]:
        """Those of the named nodes that are ours; all of ours if none is named."""
        return names & self.names if names else self.names

    def pending(self) -> frozenset[str]:
        """Nodes whose process runs but has not said hello."""
        return frozenset(name for name, entry in self._entries.items() if entry.awaits_hello)

    def running(self) -> frozenset[str]:
        """Nodes that are up."""
        return frozenset(name for name, entry in self._entries.items() if entry.state is State.RUNNING)

    @property
    def all_running(self) -> bool:
        """Whether every node is up."""
        return all(entry.state is State.RUNNING for entry in self._entries.values())

    async def next_overdue(self, limit: float) -> tuple[str, float]:
        """The started node that will have been silent for ``limit`` seconds next, and in how many; waits for one."""

        def due(entry: Entry) -> float:
            return entry.started_at + (limit * SLOW if entry.hopeless else limit)

        while not (silent := [self._entries[name] for name in self.pending()]):
            self._changed.clear()
            await self._changed.wait()
        first = min(silent, key=due)
        return first.node.name, due(first) - self._clock()

    async def change(self, within: float | None) -> None:
        """Wait until anything has changed, for so many seconds at most; None for any time."""
        self._changed.clear()
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return

    def keep(self, nodes: Iterable[Node]) -> None:
        """Have these nodes and no others; what is known of those that stay is kept."""
        known = self._entries
        self._entries = {}
        for node in nodes:
            entry = known.pop(node.name, None) or Entry(node)
            entry.node = node
            self._entries[node.name] = entry
        for entry in known.values():
            self._move(entry, Cause.STOPPED)

    def launching(self, name: str) -> None:
        """The node is about to be started on request, or stopped and started."""
        entry = self._entries[name]
        entry.expected_end = entry.pid is not None
        entry.pid, entry.outputs, entry.problem = None, None, None
        entry.last_end, entry.over = "", False
        entry.early_exits, entry.greeted, entry.given_up, entry.silent_lives = 0, False, False, 0
        entry.missing = None
        self._move(entry, Cause.LAUNCHED)

    def refused(self, name: str, problem: str) -> None:
        """The supervisor could not create it."""
        if entry := self._entries.get(name):
            entry.problem = problem
            self._move(entry, Cause.GIVEN_UP)

    def started(self, name: str, pid: int) -> None:
        """A process runs."""
        entry = self._entries.get(name)
        if entry is None or entry.pid == pid:
            return
        entry.pid, entry.expected_end, entry.started_at, entry.given_up = pid, False, self._clock(), False
        entry.found, entry.over, entry.problem = False, False, None
        self._move(entry, Cause.GIVEN_UP if entry.hopeless else Cause.LAUNCHED)
        if entry.greeted:
            self.hello(name)

    def hello(self, name: str) -> None:
        """The node can be talked to."""
        entry = self._entries.get(name)
        if entry is None:
            return
        if entry.pid is None:
            # The supervisor and the nodes tell us on different connections. But if a predecessor is still being
            # stopped, it may be the one who speaks: then the new process is asked once it is there.
            entry.greeted = not entry.expected_end
            return
        entry.early_exits, entry.greeted, entry.given_up, entry.silent_lives = 0, False, False, 0
        self._move(entry, Cause.HELLO)

    def exited(self, name: str, outputs: NodeOutputs) -> None:
        """The process has ended."""
        entry = self._entries.get(name)
        if entry is None or entry.expected_end:
            return
        if entry.state is not State.RUNNING:
            entry.early_exits += 1
        entry.pid, entry.greeted, entry.outputs, entry.missing = None, False, outputs, None
        self._move(entry, Cause.ENDED)
        if entry.failed:
            self._move(entry, Cause.GIVEN_UP)

    def ended(self, name: str, reason: str, over: bool) -> None:
        """How its process ended by itself, or why there was none; ``over`` if it is not started again."""
        if entry := self._entries.get(name):
            entry.last_end, entry.over = reason, over
            self._changed.set()

    def peers(self, name: str, missing: Iterable[str]) -> None:
        """The node tells which nodes it must be connected to and is not."""
        entry = self._entries.get(name)
        if entry is None:
            return
        told = frozenset(missing)
        if told and not entry.missing:
            entry.missing_since = self._clock()
        entry.missing = told
        self._changed.set()

    def cut_off(self, name: str) -> frozenset[str]:
        """The nodes that a running node is not connected to, though they run as far as we know."""
        entry = self._entries.get(name)
        if entry is None or entry.state is not State.RUNNING or not entry.missing:
            return frozenset()
        down = {other for other, row in self._entries.items() if row.state is not State.RUNNING}
        return entry.missing - down

    def cut_off_overdue(self, name: str, limit: float) -> float | None:
        """In how many seconds the node will have been cut off from others for ``limit`` seconds; None if it is not."""
        return self._entries[name].missing_since + limit - self._clock() if self.cut_off(name) else None

    async def connect(self, names: Collection[str], within: float) -> None:
        """Wait until these nodes, as far as they run, are connected to all that they must be; for so long at most."""
        try:
            async with asyncio.timeout(within):
                while any(self.cut_off(name) for name in names):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def unresponsive(self, name: str) -> None:
        """The process lives, but is as good as dead."""
        if entry := self._entries.get(name):
            entry.given_up = True
            self._move(entry, Cause.GIVEN_UP)

    def silent(self, name: str) -> bool:
        """The process has not said hello in time, which begins anew; whether it is hardly ever going to."""
        entry = self._entries[name]
        entry.silent_lives += 1
        entry.started_at = self._clock()
        self.unresponsive(name)
        return entry.hopeless

    def lost(self) -> None:
        """The supervisor is out of reach: nobody knows."""
        for entry in self._entries.values():
            entry.pid = None
            self._move(entry, Cause.LOST)

    def found(self, name: str, pid: int | None) -> None:
        """The supervisor has this node's process, whatever was told or not told of it before."""
        entry = self._entries.get(name)
        if pid is None or entry is None:
            return
        if entry.pid == pid and entry.problem is not None:
            entry.problem = None  # it was told to be refused after it had been found
            self._move(entry, Cause.LAUNCHED)
        self.started(name, pid)
        entry.found = True

    async def progress(self, names: Collection[str], told: Callable[[], None]) -> None:
        """Call ``told`` whenever the outcome of another launch of one of these nodes is known; until cancelled."""
        known = self._settled(names)
        while True:
            self._changed.clear()
            await self._changed.wait()
            before, known = known, self._settled(names)
            if known - before:
                told()

    def _settled(self, names: Collection[str]) -> set[str]:
        return {name for name in names if name in self._entries and self._entries[name].settled}

    async def settle(self, names: Collection[str]) -> None:
        """Wait until the outcome of these nodes' launches is known; those that are gone meanwhile count as known."""
        while any(name in self._entries and not self._entries[name].settled for name in names):
            self._changed.clear()
            await self._changed.wait()

    async def failure_of(self, name: str) -> None:
        """Wait until the node is known not to come up, or is gone."""
        while name in self._entries and not self._entries[name].failed:
            self._changed.clear()
            await self._changed.wait()

    def _move(self, entry: Entry, cause: Cause) -> None:
        old, new = entry.state, after(entry.state, cause)
        if new is not None and new is not old:
            entry.state, entry.since = new, time.time()
            self._on_change(msgspec.structs.replace(entry.node, state=new), old, new)
        self._changed.set()
