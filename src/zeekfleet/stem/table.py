"""All nodes of a stem, and every process that is a child of it."""

from __future__ import annotations

import itertools
import os
import random
import selectors
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import procfs
from zeekfleet.stem.forkserver import ForkServer
from zeekfleet.stem.node import Ending, Finished, Intent, Node, Phase
from zeekfleet.stem.protocol import Event, NodeReport
from zeekfleet.stem.records import RECORD_VERSION, NodeRecord, Records
from zeekfleet.stem.spawn import MARK_VARIABLE
from zeekfleet.stem.timers import Timers

SWEEP_PATIENCE = 10.0
"""Seconds to wait for the last killed processes when all is shut down."""

Outcomes = Callable[[dict[str, str]], None]


class Gathering:
    """Waits for several answers: calls ``done`` with all of them when the last is in."""

    def __init__(self, names: Sequence[str], done: Outcomes) -> None:
        self._missing = set(names)
        self._outcomes: dict[str, str] = {}
        self._done = done

    def answer(self, name: str) -> Finished:
        """Takes one name's answer."""

        def finished(text: str) -> None:
            self._outcomes[name] = text
            self._missing.discard(name)
            if not self._missing:
                self._done(self._outcomes)

        return finished


class Table:
    """The nodes.

    Args:
        state: the state directory.
        selector: gets the pidfds and the fork servers' sockets, each with a callable taking the event mask.
        timers: the loop's.
        emit: tells whoever listens.
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
        self.timers = timers
        self.emit = emit
        self._log = log
        self._selector = selector
        self._records = Records(state, log)
        self._nodes: dict[str, Node] = {}
        self._by_pid: dict[int, Node] = {}
        self._leftovers: dict[int, Node] = {}
        self._fork_servers: dict[tuple[str, ...], ForkServer] = {}
        self._early: dict[int, Ending] = {}
        self._marks = itertools.count(1)
        self._shutting_down = False
        self._swept: Callable[[], None] | None = None

    # --- commands

    def create(self, spec: LaunchSpec, done: Outcomes) -> None:
        """Add a node and start it; the outcome is empty once it is a node, even if its start failed."""
        if self._shutting_down or spec.name in self._nodes:
            reason = (
                "the tree is being stopped" if self._shutting_down else f"node with name '{spec.name}' already exists"
            )
            done({spec.name: reason})
            return
        node = self._add(spec)
        node.when_started(lambda _: done({spec.name: ""}))
        self.save(node)
        node.launch()

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
                gathering.answer(name)(f"there is no node '{name}'")
            else:
                node.stop(intent, gathering.answer(name))

    def shutdown(self, groups: Sequence[Sequence[str]], done: Callable[[], None]) -> None:
        """Stop group after group, then what was not named, then whatever else is a child of ours."""
        self._shutting_down = True

        def next_group(_: dict[str, str] | None = None) -> None:
            for group in remaining:
                if names := [name for name in group if name in self._nodes]:
                    self.stop(names, Intent.DESTROY, next_group)
                    return
            if self._nodes:
                self.stop(list(self._nodes), Intent.DESTROY, next_group)
            else:
                self._sweep(done)

        remaining = iter(groups)
        next_group()

    def reports(self) -> tuple[NodeReport, ...]:
        """All nodes, in the order of their creation."""
        return tuple(node.report() for node in self._nodes.values())

    # --- taking over from an earlier stem

    def adopt(self) -> None:
        """Watch the recorded processes that still run; those that do not have ended, nobody knows how."""
        for record in self._records.load():
            node = self._add(record.spec)
            node.offsets = (record.stdout_offset, record.stderr_offset)
            node.restarts = record.restarts
            pid, start_time = record.pid, record.start_time
            if pid is None or start_time is None:
                node.launch()
                continue
            if record.boot == self._records.boot and procfs.start_time(pid) == start_time:
                node.adopt(record, pid, start_time)
                self._log(f"node '{record.spec.name}' found running, pid {pid}")
            else:
                node.pid, node.start_time = pid, start_time
                node.leader_ended(Ending())

    def _add(self, spec: LaunchSpec) -> Node:
        mark = f"{os.getpid()}.{next(self._marks)}"
        node = Node(_shared(self._records.put_away(spec)), self, random.random, mark)
        self._nodes[spec.name] = node
        return node

    # --- what nodes need (node.Surroundings)

    def watch(self, node: Node) -> None:
        """Have the loop tell when the node's process ends."""
        pid = node.pid or 0
        self._by_pid[pid] = node
        try:
            node.pidfd = os.pidfd_open(pid)
        except OSError:
            # A child's end is told by SIGCHLD as well; for another's process this means that it is gone.
            node.pidfd = None
            if not node.is_child:
                node.leader_ended(Ending())
            return
        self._selector.register(node.pidfd, selectors.EVENT_READ, lambda _: self._pidfd_ready(node, pid))

    def unwatch(self, node: Node) -> None:
        """Its process is no more."""
        self._by_pid.pop(node.pid or 0, None)
        if node.pidfd is not None:
            self._selector.unregister(node.pidfd)
            os.close(node.pidfd)
            node.pidfd = None

    def files_of(self, node: Node) -> dict[str, str]:
        """What the node wants to find in its directory."""
        return self._records.files_of(node.spec)

    def save(self, node: Node) -> None:
        """Write the node's record."""
        running = node.phase is Phase.RUNNING
        self._records.save(
            NodeRecord(
                version=RECORD_VERSION,
                boot=self._records.boot,
                spec=node.spec,
                pid=node.pid if running else None,
                start_time=node.start_time if running else None,
                stdout_offset=node.offsets[0],
                stderr_offset=node.offsets[1],
                restarts=node.restarts,
            )
        )

    def forget(self, node: Node) -> None:
        """It has been destroyed."""
        self._nodes.pop(node.spec.name, None)
        self._records.remove(node.spec.name)

    def kill_leftovers(self, node: Node) -> set[int]:
        """SIGKILL processes of its group or with its mark that have become children of ours."""
        entry = f"{MARK_VARIABLE}={node.mark}"
        found = set()
        for pid in self._unknown_children():
            if procfs.process_group(pid) == node.pid or procfs.has_environment(pid, entry):
                found.add(pid)
                self._leftovers[pid] = node
                _kill(pid)
        return found

    def fork(self, node: Node) -> None:
        """Have the node forked by the fork server of its command line."""
        server = self._fork_servers.get(node.spec.forkserver)
        if server is None:
            mark = f"{os.getpid()}.fork-server.{next(self._marks)}"
            server = ForkServer(node.spec, mark, self._selector, self._fork_server_lost)
            self._fork_servers[node.spec.forkserver] = server

        def reply(result: int | str) -> None:
            if isinstance(result, str):
                node.launch_failed(result)
                return
            ending = self._early.pop(result, None)
            node.up(result)
            if ending is not None:
                node.leader_ended(ending)

        server.launch(node.spec, node.mark, reply)

    # --- children

    def reap(self) -> None:
        """Take the exit status of every child that has ended."""
        while True:
            try:
                result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if result is None:
                break
            self._ended(result.si_pid, result)
        if not any(server.busy for server in self._fork_servers.values()):
            self._early.clear()
        if self._swept is not None:
            self._kill_all_children()

    def _pidfd_ready(self, node: Node, pid: int) -> None:
        if self._by_pid.get(pid) is not node:
            return
        if not node.is_child:
            node.send_signal(signal.SIGKILL)
            node.leader_ended(Ending())
            return
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is not None:
            self._ended(pid, result)

    def _ended(self, pid: int, result: os.waitid_result) -> None:
        node = self._by_pid.get(pid)
        if node is not None:
            # Before it is reaped: as long as it is not, its process id, and so its group, can be no other's.
            node.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED)
        if node is not None:
            node.leader_ended(Ending(result))
        elif (owner := self._leftovers.pop(pid, None)) is not None:
            owner.leftover_ended(pid)
        else:
            # Perhaps a node that its fork server has not told us yet.
            self._early[pid] = Ending(result)

    def _unknown_children(self) -> list[int]:
        known = {server.pid for server in self._fork_servers.values()}
        return [
            pid
            for pid in procfs.children(os.getpid())
            if pid not in self._by_pid and pid not in known and pid not in self._leftovers
        ]

    def _fork_server_lost(self, server: ForkServer) -> None:
        self._fork_servers.pop(server.argv, None)
        self._log(f"fork server with pid {server.pid} is gone")
        # What it had forked and not told yet belongs to nobody: left alone, its node would run twice.
        for pid in self._unknown_children():
            if pid == server.pid or procfs.has_environment(pid, f"{MARK_VARIABLE}={server.mark}"):
                _kill(pid)

    # --- the end

    def _sweep(self, done: Callable[[], None]) -> None:
        for server in list(self._fork_servers.values()):
            server.close()

        def finish() -> None:
            if self._swept is not None:
                self._swept = None
                timer.cancel()
                done()

        self._swept = finish
        timer = self.timers.after(SWEEP_PATIENCE, finish)
        self._kill_all_children()

    def _kill_all_children(self) -> None:
        children = procfs.children(os.getpid())
        for pid in children:
            _kill(pid)
        if not children and self._swept is not None:
            self._swept()


def _shared(spec: LaunchSpec) -> LaunchSpec:
    """The same with its texts shared: the environments of nodes are much alike, and there may be a thousand."""
    return msgspec.structs.replace(
        spec,
        argv=tuple(sys.intern(word) for word in spec.argv),
        env={sys.intern(key): sys.intern(value) for key, value in spec.env.items()},
        forkserver=tuple(sys.intern(word) for word in spec.forkserver),
    )


def _kill(pid: int) -> None:
    """SIGKILL a child of ours that has not been reaped, so that the id is its own."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
