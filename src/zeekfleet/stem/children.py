"""The processes of a stem: waits for nodes' processes to end, and kills what such a process leaves behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from collections.abc import Callable

from zeekfleet.stem import ownership
from zeekfleet.stem.process import Process
from zeekfleet.stem.spawn_pool import SpawnPool
from zeekfleet.system import process_end, procfs
from zeekfleet.system.process_end import ProcessEnd
from zeekfleet.system.timers import Timers

SWEEP_PATIENCE = 10.0
"""Seconds to wait for the last killed processes when all is shut down."""

_WATCH_AGAIN = 0.2
"""Seconds until we try again to watch a process that is not our child, if no pidfd could be had for it."""


class Children:
    """Waits for processes.

    Args:
        selector: takes the pidfds, each with a callable that takes the event mask.
        timers: the loop's timers.
        pool: starts processes.
        log: writes a line.
    """

    def __init__(
        self, selector: selectors.BaseSelector, timers: Timers, pool: SpawnPool, log: Callable[[str], None]
    ) -> None:
        self._selector = selector
        self._timers = timers
        self._pool = pool
        self._log = log
        self._by_pid: dict[int, Process] = {}
        self._leftovers: dict[int, Process] = {}
        self._list = procfs.MainThreadsChildren()
        self._listed: list[int] | None = None
        self._swept: Callable[[], None] | None = None

    # --- processes of nodes

    def watch(self, process: Process) -> None:
        """Have ``process.on_end`` called when it ends."""
        self._by_pid[process.pid] = process
        if process.is_child:
            return  # SIGCHLD tells when a child ends
        try:
            process.pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            process.on_end(ProcessEnd())
            return
        except OSError as error:
            self._log(f"node '{process.spec.name}' cannot be watched yet: {error.strerror}")
            self._timers.after(_WATCH_AGAIN, lambda: self._watch_again(process))
            return
        self._selector.register(process.pidfd, selectors.EVENT_READ, lambda _: self._ended_elsewhere(process))

    def _watch_again(self, process: Process) -> None:
        if self._by_pid.get(process.pid) is not process or process.pidfd is not None:
            return
        if procfs.start_time(process.pid) == process.start_time:
            self.watch(process)
        else:
            process.on_end(ProcessEnd())

    def unwatch(self, process: Process) -> None:
        """Stop watching a process that has ended."""
        self._by_pid.pop(process.pid, None)
        if process.pidfd is not None:
            self._selector.unregister(process.pidfd)
            os.close(process.pidfd)
            process.pidfd = None

    # --- processes that they leave behind

    def kill_leftovers(self, process: Process) -> set[int]:
        """Send SIGKILL to the processes that it has left (``ownership``), and return their process ids.

        ``process.on_leftover_end`` is called when one of them has ended.
        """
        grouped: set[int] = set()
        if process.cgroup is not None:
            grouped = set(process.cgroup.processes()) - {process.pid}
            process.cgroup.kill()
        found = {pid for pid in self._unknown_children() if ownership.is_orphan_of(pid, process, grouped)}
        for pid in found:
            self._leftovers[pid] = process
            _kill(pid)
        if not process.is_child:
            found |= self._kill_elsewhere(process, grouped)
        return found

    def _kill_elsewhere(self, process: Process, grouped: set[int]) -> set[int]:
        """Kill what an adopted process has left. These do not become our children, so pidfds tell us when they end."""
        found: set[int] = set()
        reapers = {1, *(each.reaper for each in (process, *self._by_pid.values()) if each.reaper is not None)}
        for pid in (ownership.found_elsewhere(process, reapers) | grouped) - self._leftovers.keys():
            try:
                descriptor = os.pidfd_open(pid)
                is_grouped = process.cgroup is not None and pid in process.cgroup.processes()
                if not is_grouped and not ownership.is_from_elsewhere(pid, process, reapers):
                    os.close(descriptor)
                    continue
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except OSError:
                continue
            found.add(pid)
            self._leftovers[pid] = process
            self._selector.register(descriptor, selectors.EVENT_READ, self._leftover_watcher(pid, descriptor))
        return found

    def _leftover_watcher(self, pid: int, descriptor: int) -> Callable[[int], None]:
        def ended(_: int) -> None:
            self._selector.unregister(descriptor)
            os.close(descriptor)
            if (owner := self._leftovers.pop(pid, None)) is not None:
                owner.on_leftover_end(pid)

        return ended

    def _unknown_children(self) -> list[int]:
        pids = self._list.read() if self._listed is None else self._listed
        return [pid for pid in pids if pid not in self._by_pid and pid not in self._leftovers]

    # --- ends

    def reap(self) -> None:
        """Take the exit status of every child that has ended."""
        ended: list[tuple[int, ProcessEnd]] = []
        # WNOWAIT: the child stays a zombie until _reaped() has looked at it.
        with contextlib.suppress(ChildProcessError):
            while (result := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                ended.append(self._reaped(result))
        # All children of the ended processes are ours by now, so our children need to be listed only once.
        self._listed = self._list.read() if len(ended) > 1 else None
        with self._pool.together() if len(ended) > 1 else contextlib.nullcontext():
            for pid, how in ended:
                self._tell(pid, how)
        self._listed = None
        if self._swept is not None:
            self._kill_all()

    def _reaped(self, result: os.waitid_result) -> tuple[int, ProcessEnd]:
        pid = result.si_pid
        process = self._by_pid.get(pid)
        limits = ""
        if process is not None:
            # Kill the group before reaping: until then the pid cannot be reused.
            process.send_signal(signal.SIGKILL)
            if not process.is_stopping and (result.si_code, result.si_status) != (os.CLD_EXITED, 0):
                limits = procfs.read(f"/proc/{pid}/limits").decode("ascii", "replace")
        _, status, used = os.wait4(pid, 0)
        return pid, process_end.from_status(status, used, limits)

    def _tell(self, pid: int, how: ProcessEnd) -> None:
        if (process := self._by_pid.get(pid)) is not None:
            process.on_end(how)
        elif (owner := self._leftovers.pop(pid, None)) is not None:
            self._listed = None  # its own children were just reparented to us; list again
            owner.on_leftover_end(pid)

    def _ended_elsewhere(self, process: Process) -> None:
        """A process has ended that is not our child: its parent reaps it, and may have done so already."""
        if self._by_pid.get(process.pid) is not process:
            return
        process.send_signal(signal.SIGKILL)
        status = procfs.exit_status(process.pid, process.start_time)
        if status is None and process.pidfd is not None:
            status = process_end.status_of_reaped(process.pidfd)
        process.on_end(ProcessEnd() if status is None else process_end.from_status(status))

    # --- shutting down

    def sweep(self, done: Callable[[], None]) -> None:
        """Kill all children that are left, and call ``done`` when none is left."""

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
    """Send SIGKILL to a child that has not been reaped: until then its process id cannot be reused."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
