"""All nodes of a stem."""

from __future__ import annotations

import selectors
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.names import NODES
from zeekfleet.stem import adoption, launching
from zeekfleet.stem.adoption import Inherited
from zeekfleet.stem.cgroups import Cgroups
from zeekfleet.stem.children import Children
from zeekfleet.stem.node import Intent, Node, NodeHost
from zeekfleet.stem.protocol import Event, NodeReport
from zeekfleet.stem.records import Records
from zeekfleet.stem.spawn_pool import SpawnPool
from zeekfleet.system.timers import Timer, Timers

_SWEEP_AFTER = 0.05
"""Seconds until the records of destroyed nodes are removed, so that the answer need not wait for that."""

Outcomes = Callable[[dict[str, str]], None]


class Gathering:
    """Waits for several answers: calls ``done`` with all of them when the last is in."""

    def __init__(self, names: Sequence[str], done: Outcomes) -> None:
        self._missing = set(names)
        self._outcomes: dict[str, str] = {}
        self._done = done

    def answer(self, name: str, text: str) -> None:
        """One name's answer."""
        self._outcomes[name] = text
        self._missing.discard(name)
        if not self._missing:
            self._done(self._outcomes)

    def succeed(self, name: str, _: str) -> None:
        """One name's answer, which counts as a success whatever the text says."""
        self.answer(name, "")


class Table:
    """The nodes of a stem.

    Args:
        state: the state directory.
        selector: the loop's selector.
        timers: the loop's timers.
        emit: sends an event to the supervisors.
        log: writes a line.
    """

    def __init__(
        self,
        state: Path,
        selector: selectors.BaseSelector,
        timers: Timers,
        emit: Callable[[Event], None],
        log: Callable[[str], None],
    ) -> None:
        self._timers = timers
        self._log = log
        self._records = Records(state, log, lambda: adoption.lost_tree(state))
        self._pool = SpawnPool()
        self._children = Children(selector, timers, self._pool, log)
        self._cgroups = Cgroups(self._records.tree, log)
        self._host = NodeHost(
            timers, self._pool, self._children, self._cgroups, self._records, emit, self._forget, str(state / NODES)
        )
        self._nodes: dict[str, Node] = {}
        self._sweeping: Timer | None = None
        self._shutting_down = False
        self._is_hurried = False

    # --- commands

    def create(self, specs: Sequence[LaunchSpec], done: Outcomes) -> None:
        """Add nodes and start them. An outcome is an error text, empty if the node exists even if its start failed."""
        if not specs:
            done({})
            return
        gathering = Gathering([spec.name for spec in specs], done)
        fresh: dict[str, LaunchSpec] = {}
        for spec in specs:
            if self._shutting_down:
                gathering.answer(spec.name, "the tree is being stopped")
            elif (found := self._nodes.get(spec.name)) is not None and _completes(spec, found):
                self._complete(found, spec, gathering)
            elif found is not None or spec.name in fresh:
                gathering.answer(spec.name, f"node with name '{spec.name}' already exists")
            elif problem := self._problem_with(spec):
                gathering.answer(spec.name, problem)
            else:
                fresh[spec.name] = spec
        kept = self._records.launches.put_away(list(fresh.values()))
        with self._pool.together():
            for spec in kept:
                node = self._add(spec)
                node.when_started(partial(gathering.succeed, spec.name))
                node.launch(fresh[spec.name].files)

    def _problem_with(self, spec: LaunchSpec) -> str:
        """Why a specification cannot become a node; empty if it can.

        It is checked before it is recorded, since a bad record would trouble every later stem.
        """
        try:
            launching.check(spec)
            self._made(spec)
        except LaunchError as error:
            return error.reason
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def _complete(self, node: Node, spec: LaunchSpec, gathering: Gathering) -> None:
        if problem := self._problem_with(spec):
            gathering.answer(spec.name, problem)
            return
        (kept,) = self._records.launches.put_away([spec])
        node.when_started(partial(gathering.succeed, spec.name))
        node.complete(_shared(kept))

    def stop(self, names: Iterable[str], intent: Intent, done: Outcomes) -> None:
        """Destroy or restart nodes, all at the same time."""
        names = list(dict.fromkeys(names))
        if not names:
            done({})
            return
        gathering = Gathering(names, done)
        for name in names:
            node = self._nodes.get(name)
            if node is None:
                gathering.answer(name, f"there is no node '{name}'")
            else:
                node.stop(intent, partial(gathering.answer, name))
                if self._is_hurried:
                    node.hurry()

    def hurry(self, names: Iterable[str]) -> None:
        """Kill nodes that are being stopped when their grace is over. Without names: all, now and later."""
        names = tuple(names)
        self._is_hurried = self._is_hurried or (self._shutting_down and not names)
        for name in names or list(self._nodes):
            if (node := self._nodes.get(name)) is not None:
                node.hurry()

    def taken_out(self, path: str, size: int) -> None:
        """Note that ``size`` bytes were removed from the beginning of an output file."""
        for node in self._nodes.values():
            node.taken_out(path, size)

    def shutdown(self, groups: Sequence[Sequence[str]], done: Callable[[], None], now: bool = False) -> None:
        """Stop group after group, then the nodes in no group, then kill any other child of ours."""
        self._shutting_down = True
        self._is_hurried = self._is_hurried or now

        def all_gone() -> None:
            self._cgroups.close()
            self._records.clear()
            done()

        def next_group(_: dict[str, str] | None = None) -> None:
            for group in remaining:
                if names := [name for name in group if name in self._nodes]:
                    self.stop(names, Intent.DESTROY, next_group)
                    return
            if self._nodes:
                self.stop(list(self._nodes), Intent.DESTROY, next_group)
            else:
                self._children.sweep(all_gone)

        remaining = iter(groups)
        next_group()

    @property
    def is_shutting_down(self) -> bool:
        """Whether all nodes are being stopped, so that no new ones are accepted."""
        return self._shutting_down

    def reports(self) -> tuple[NodeReport, ...]:
        """All nodes, in the order of their creation."""
        return tuple(node.report() for node in self._nodes.values())

    def reap(self) -> None:
        """Take the exit status of children that have ended."""
        self._children.reap()

    def flush(self) -> None:
        """Write what has changed to disk. Call this before anybody is told of the change."""
        self._records.flush()

    # --- taking over from an earlier stem

    def adopt(self) -> None:
        """Watch the processes that an earlier stem started. If one is gone, nobody knows how it ended."""
        nodes = adoption.inherit(self._records, self._problem_with, self._log)
        with self._pool.together():
            for inherited in nodes:
                # Perhaps the journal's record is bad: try without it, so that the node is at least watched or started.
                if not self._try_to_take_over(inherited):
                    self._try_to_take_over(msgspec.structs.replace(inherited, record=None))
        self._records.sweep()
        self._records.flush()

    def _try_to_take_over(self, inherited: Inherited) -> bool:
        """Take a node over; False if that failed. A bad record must not end the stem: the other nodes need it."""
        try:
            self._take_over(inherited)
        except Exception as error:
            self._log(f"node '{inherited.spec.name}' cannot be taken over: {type(error).__name__}: {error}")
            self._nodes.pop(inherited.spec.name, None)
            return False
        return True

    def _take_over(self, inherited: Inherited) -> None:
        node = self._add(inherited.spec)
        node.recovered = inherited.recovered
        record, process = inherited.record, inherited.process
        if record is not None:
            node.recall(record)
        if process is not None:
            self._log(f"node '{node.spec.name}' found running, pid {process[0]}")
            node.adopt(*process, inherited.launch)
            node.save()
        elif record is not None and record.pid is not None:
            group = self._cgroups.left(record.effects.get("cgroup", ""))
            node.ended_unseen(record.pid, record.start_time or 0, group)
        elif record is not None and (record.ended or record.due is not None):
            node.resume()
        else:
            node.launch()

    def _add(self, spec: LaunchSpec) -> Node:
        node = self._nodes[spec.name] = self._made(spec)
        return node

    def _made(self, spec: LaunchSpec) -> Node:
        return Node(_shared(spec), self._host)

    # --- forgetting

    def _forget(self, name: str) -> None:
        self._nodes.pop(name, None)
        self._records.remove(name)
        if self._sweeping is None:
            self._sweeping = self._timers.after(_SWEEP_AFTER, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        self._records.sweep()


def _completes(spec: LaunchSpec, node: Node) -> bool:
    """Whether a specification is that of a node of which only the process is known."""
    return node.recovered and node.spec.paths == spec.paths


def _shared(spec: LaunchSpec) -> LaunchSpec:
    """The same with interned texts: there may be a thousand nodes, and their environments are much alike.

    The names of variables are shared already, because the decoder reuses the keys that it has met.
    """
    return msgspec.structs.replace(
        spec,
        argv=tuple(sys.intern(word) for word in spec.argv),
        env={key: sys.intern(value) for key, value in spec.env.items()},
    )
