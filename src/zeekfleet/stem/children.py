"""Every process that belongs to a stem: whose end is awaited, and what is left when a node has ended."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

from zeekfleet.stem import ending, kinship
from zeekfleet.stem.birth import Birth
from zeekfleet.stem.crew import Crew, Done
from zeekfleet.stem.ending import Ending
from zeekfleet.stem.node import Node
from zeekfleet.stem.phases import Intent
from zeekfleet.system import procfs
from zeekfleet.system.timers import Timers

SWEEP_PATIENCE = 10.0
"""Seconds to wait for the last killed processes when all is shut down."""

_WATCH_AGAIN = 0.2
"""Seconds until a process that is no child of ours is tried to be watched again, for want of descriptors."""


class Children:
    """The processes.

    Args:
        selector: gets the pidfds, each with a callable taking the event mask.
        timers: the loop's.
        log: writes a line.
    """

    def __init__(self, selector: selectors.BaseSelector, timers: Timers, log: Callable[[str], None]) -> None:
        self._selector = selector
        self._timers = timers
        self._log = log
        self._by_pid: dict[int, Node] = {}
        self._leftovers: dict[int, Node] = {}
        self._seen: list[int] | None = None
        self._crew = Crew()
        self._list = procfs.MainThreadsChildren()
        self._swept: Callable[[], None] | None = None

    # --- processes of nodes

    def watch(self, node: Node) -> None:
        """Have the loop tell when the node's process ends."""
        pid = node.pid or 0
        self._by_pid[pid] = node
        if node.is_child:
            return  # SIGCHLD tells
        try:
            node.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            node.leader_ended(Ending())
            return
        except OSError as error:
            self._log(f"node '{node.spec.name}' cannot be watched yet: {error.strerror}")
            self._timers.after(_WATCH_AGAIN, lambda: self._watch_again(node, pid))
            return
        self._selector.register(node.pidfd, selectors.EVENT_READ, lambda _: self._pidfd_ready(node, pid))

    def _watch_again(self, node: Node, pid: int) -> None:
        if self._by_pid.get(pid) is not node or node.pidfd is not None:
            return
        if procfs.start_time(pid) == node.start_time:
            self.watch(node)
        else:
            node.leader_ended(Ending())

    def unwatch(self, node: Node) -> None:
        """Its process is no more."""
        self._by_pid.pop(node.pid or 0, None)
        if node.pidfd is not None:
            self._selector.unregister(node.pidfd)
            os.close(node.pidfd)
            node.pidfd = None

    def kill_leftovers(self, node: Node) -> set[int]:
        """SIGKILL what it has left (``kinship``); those whose end will be told."""
        grouped: set[int] = set()
        if node.cgroup is not None:
            grouped = set(node.cgroup.processes()) - {node.pid}
            node.cgroup.kill()
        found = set()
        for pid in self._unknown_children():
            if kinship.is_orphan_of(pid, node, grouped):
                found.add(pid)
                self._leftovers[pid] = node
                _kill(pid)
        if not node.is_child:
            found |= self._kill_elsewhere(node, grouped)
        return found

    def _kill_elsewhere(self, node: Node, grouped: set[int]) -> set[int]:
        """What an adopted node leaves does not come to us: a descriptor each tells its end."""
        found: set[int] = set()
        reapers = {1, *(each.reaper for each in (node, *self._by_pid.values()) if each.reaper is not None)}
        for pid in (kinship.found_elsewhere(node, reapers) | grouped) - self._leftovers.keys():
            try:
                descriptor = os.pidfd_open(pid)
                is_grouped = node.cgroup is not None and pid in node.cgroup.processes()
                if not is_grouped and not kinship.is_from_elsewhere(pid, node, reapers):
                    os.close(descriptor)
                    continue
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except OSError:
                continue
            found.add(pid)
            self._leftovers[pid] = node
            self._selector.register(descriptor, selectors.EVENT_READ, self._leftover_watcher(pid, descriptor))
        return found

    def _leftover_watcher(self, pid: int, descriptor: int) -> Callable[[int], None]:
        def ended(_: int) -> None:
            self._selector.unregister(descriptor)
            os.close(descriptor)
            if (owner := self._leftovers.pop(pid, None)) is not None:
                owner.leftover_ended(pid)

        return ended

    # --- starting

    def start(self, birth: Birth, done: Done) -> None:
        """Start a process, and call back."""
        self._crew.start(birth, done)

    def together(self) -> AbstractContextManager[None]:
        """All that is started within is started side by side."""
        return self._crew.together()

    # --- ends

    def reap(self) -> None:
        """Take the exit status of every child that has ended."""
        ended: list[tuple[int, Ending]] = []
        while True:
            try:
                result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if result is None:
                break
            ended.append(self._reaped(result))
        self._tell(ended)
        if self._swept is not None:
            self._kill_all()

    def _pidfd_ready(self, node: Node, pid: int) -> None:
        if self._by_pid.get(pid) is not node:
            return
        node.send_signal(signal.SIGKILL)
        node.leader_ended(self._ending_of_another(node, pid))

    def _ending_of_another(self, node: Node, pid: int) -> Ending:
        """How a process ended that another one reaps, if the kernel still tells it."""
        status = procfs.exit_status(pid, node.start_time or 0)
        if status is None and node.pidfd is not None:
            status = ending.status_of_reaped(node.pidfd)
        return Ending() if status is None else ending.from_status(status)

    def _reaped(self, result: os.waitid_result) -> tuple[int, Ending]:
        pid = result.si_pid
        node = self._by_pid.get(pid)
        limits = ""
        if node is not None:
            # Before it is reaped: as long as it is not, its process id, and so its group, can be no other's.
            node.send_signal(signal.SIGKILL)
            if node.intent is Intent.RUN and (result.si_code, result.si_status) != (os.CLD_EXITED, 0):
                limits = procfs.read(f"/proc/{pid}/limits").decode("ascii", "replace")
        _, status, used = os.wait4(pid, 0)
        return pid, ending.from_status(status, used, limits)

    def _tell(self, ended: list[tuple[int, Ending]]) -> None:
        """All that have ended have left their own children to us by now: one look is enough for all of them."""
        if len(ended) < 2:
            self._tell_each(ended)
            return
        self._seen = self._list.read()
        with self._crew.together():
            self._tell_each(ended)
        self._seen = None

    def _tell_each(self, ended: list[tuple[int, Ending]]) -> None:
        for pid, how in ended:
            if (node := self._by_pid.get(pid)) is not None:
                node.leader_ended(how)
            elif (owner := self._leftovers.pop(pid, None)) is not None:
                # What it leaves in turn has come to us just now.
                self._seen = None
                owner.leftover_ended(pid)

    def _unknown_children(self) -> list[int]:
        pids = self._list.read() if self._seen is None else self._seen
        return [pid for pid in pids if pid not in self._by_pid and pid not in self._leftovers]

    # --- the end of all

    def sweep(self, done: Callable[[], None]) -> None:
        """Kill whatever else is a child of ours, and call back when nothing is left."""

        def finish() -> None:
            if self._swept is not None:
                self._swept = None
                timer.cancel()
                done()

        self._swept = finish
        timer = self._timers.after(SWEEP_PATIENCE, finish)
        self._kill_all()

    def _kill_all(self) -> None:
        children = procfs.children(os.getpid())
        for pid in children:
            _kill(pid)
        if not children and self._swept is not None:
            self._swept()


def _kill(pid: int) -> None:
    """SIGKILL a child of ours that has not been reaped, so that the id is its own."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
