"""A node's own process: what identifies it, and what can be done to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from zeekfleet.lifecycle.stopping import Work
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import environment_tag
from zeekfleet.system import procfs
from zeekfleet.system.cgroup import Cgroup
from zeekfleet.system.process_end import ProcessEnd


class Process:
    """The process of one launch, running or ended.

    Args:
        pid: its process id; with ``start_time`` it names this process and no later one.
        start_time: clock ticks since boot; 0 if that could not be read.
        tree: the name of the stem's tree.
        spec: what it was launched with.
        rlimit_tag: the tag that its descendants carry.
        cgroup: its control group, if it has one.
        reaper: the process that its orphans go to; None for a child of ours, whose orphans come to us.
        on_end: called once when it has ended and its group has been killed.
        on_leftover_end: called with each process id of ``Children.kill_leftovers`` that has been reaped.

    Attributes:
        pidfd: a descriptor that tells when it ends; a child of ours needs none.
        descendants: the processes below it when it was last looked at, with their start times.
        is_stopping: it was asked to end.
    """

    def __init__(
        self,
        pid: int,
        start_time: int,
        tree: str,
        spec: LaunchSpec,
        rlimit_tag: int,
        *,
        cgroup: Cgroup | None,
        reaper: int | None,
        on_end: Callable[[ProcessEnd], None],
        on_leftover_end: Callable[[int], None],
    ) -> None:
        self.pid = pid
        self.start_time = start_time
        self.tree = tree
        self.spec = spec
        self.rlimit_tag = rlimit_tag
        self.cgroup = cgroup
        self.reaper = reaper
        self.on_end = on_end
        self.on_leftover_end = on_leftover_end
        self.is_child = reaper is None
        self.is_stopping = False
        self.pidfd: int | None = None
        self.descendants: dict[int, int] = {}

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group, or to it alone while it does not lead a group yet."""
        # A child of ours keeps its pid until we reap it. If it is not our child, its pid may have been reused; or it
        # has ended (None), but its group still exists.
        if not self.is_child and procfs.start_time(self.pid) not in (None, self.start_time):
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            self._signal_leader(number)
        except PermissionError:
            return  # part of the group belongs to another user; the rest has got the signal

    def _signal_leader(self, number: signal.Signals) -> None:
        try:
            if self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, number)
            elif self.is_child:
                os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def note_descendants(self) -> None:
        """Remember its descendants while it lives: some of them may not be recognizable by anything else later."""
        self.descendants |= _descendants(self.pid, self.start_time)
        if not self.is_child and (life := procfs.life(self.pid)) is not None and life.start_time == self.start_time:
            self.reaper = life.parent

    def work(self) -> Work:
        """What it and its descendants have done so far."""
        pids = {self.pid, *self.descendants, *_descendants(self.pid, self.start_time)}
        return Work(sum(map(procfs.bytes_written, pids)), sum(map(procfs.cpu_time, pids)))

    def has_launched(self, tag: str | None) -> bool:
        """Whether an environment tag names its node, whichever launch it names."""
        read = None if tag is None else environment_tag.read(tag)
        return read is not None and (read.tree, read.node) == (self.tree, self.spec.name)


def _descendants(pid: int, start: int) -> dict[int, int]:
    """The living descendants of a process, with their start times. Those whose parent has ended are not found."""
    found: dict[int, int] = {}
    parents = [(pid, start)]
    for parent, since in parents:
        lives = [(child, procfs.life(child)) for child in procfs.children(parent)]
        # If the parent is no longer the same process, these may be the children of one that has reused its pid.
        if lives and procfs.start_time(parent) == since:
            new = {child: life.start_time for child, life in lives if life is not None and life.parent == parent}
            parents += ((child, new[child]) for child in new.keys() - found.keys())
            found |= new
    return found
