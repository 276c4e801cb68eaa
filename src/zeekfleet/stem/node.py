"""One node's life in the stem.

::

              launch                     up                   process ended
    WAITING ─────────▶ STARTING ─────────────────▶ RUNNING ─────────────────▶ CLEARING
       ▲  ▲               │                           │ stop: SIGTERM, grace,    │ what it left
       │  └───────────────┘ launch failed             │ SIGKILL, to its group    │ is killed
       └────────────────────────────────────────────────────────────────────────┘
                 revived at once, later, or never; restarted; or forgotten

``intent`` is what to do when the process has ended. It may change while the node is being stopped: if a destroy
arrives during a restart, the node is removed.
"""

from __future__ import annotations

import enum
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from zeekfleet.errors import LaunchError, ShortageError
from zeekfleet.lifecycle.revival import NEVER, Decision, Revival
from zeekfleet.lifecycle.stopping import Stop
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import environment_tag, launching, preparation, resources
from zeekfleet.stem.cgroups import Cgroups
from zeekfleet.stem.children import Children
from zeekfleet.stem.process import Process
from zeekfleet.stem.protocol import Event, Exited, LastExit, LaunchFailed, NodeReport, Started, Stopping
from zeekfleet.stem.records import ProcessRecord, Records
from zeekfleet.stem.spawn import Spawn
from zeekfleet.stem.spawn_pool import SpawnPool
from zeekfleet.system import node_files, procfs, rlimit_tag
from zeekfleet.system.cgroup import Cgroup
from zeekfleet.system.process_end import ProcessEnd
from zeekfleet.system.timers import Timer, Timers

CLEARING_PATIENCE = 10.0
"""Seconds to wait for killed leftovers to end: one that is stuck in the kernel must not block its node for ever."""

_AT_ONCE = Decision(delay=0.0)

Finished = Callable[[str], None]
"""Called with an error text, which is empty if what was asked for is done."""


class Phase(enum.Enum):
    """What a node is doing."""

    WAITING = enum.auto()
    STARTING = enum.auto()
    RUNNING = enum.auto()
    CLEARING = enum.auto()


class Intent(enum.Enum):
    """What to do when a node's process has ended."""

    RUN = enum.auto()
    RESTART = enum.auto()
    DESTROY = enum.auto()


class NodeHost(NamedTuple):
    """What all nodes of a stem share.

    ``forget`` is called with the name of a node that has been destroyed; nodes have their directories in ``nodes``.
    """

    timers: Timers
    pool: SpawnPool
    children: Children
    cgroups: Cgroups
    records: Records
    emit: Callable[[Event], None]
    forget: Callable[[str], None]
    nodes: str


class Node:
    """One node; all methods return at once."""

    def __init__(self, spec: LaunchSpec, host: NodeHost) -> None:
        self.spec = spec
        self.recovered = False
        self.phase = Phase.WAITING
        self.intent = Intent.RUN
        self._host = host
        self._rlimit_tag = rlimit_tag.of_node(host.records.tree, spec.name)
        self._revival = Revival(spec.revival, random.random)
        self._process: Process | None = None
        """Its process, or the last one."""
        self._record = ProcessRecord(spec.name, None, None, restarts=-1, since=time.time())
        """What the next stem must know. ``due`` is the time of the next start, as last decided."""
        self._cgroup: Cgroup | None = None
        self._group_limits_memory = False
        self._leftovers: set[int] = set()
        self._decision = NEVER
        self._started_at = 0.0
        self._stop: Stop | None = None
        """Set while its process has been asked to end."""
        self._timer: Timer | None = None
        self._finished: list[Finished] = []

    # --- coming up

    def launch(self, files: Mapping[str, str] | None = None) -> None:
        """Start its process.

        Args:
            files: the files that its directory must contain. If left out, they are read from the records.
        """
        self._set_timer(None)
        self._started_at = self._now()
        try:
            launching.check(self.spec)
            wanted = self._host.records.launches.files_of(self.spec) if files is None else files
            outputs = preparation.prepare(self.spec, wanted, self._host.nodes)
            self._record.stdout_offset, self._record.stderr_offset = outputs.offsets
            try:
                spawn = self._spawn(outputs)
            except LaunchError:
                outputs.close()
                raise
        except LaunchError as error:
            self._launch_failed(error)
            return

        def done(spawn: Spawn) -> None:
            outputs.close()
            if spawn.problem is None:
                self._up(spawn)
            else:
                self._launch_failed(preparation.failure(self.spec.name, spawn.problem))

        self.phase = Phase.STARTING
        self._host.pool.start(spawn, done)

    def _spawn(self, outputs: preparation.Outputs) -> Spawn:
        """The start of its next process, in a control group if it is to have one."""
        wanted = self.spec.resources
        tag = environment_tag.of_launch(self._host.records.tree, self.spec.name, self._record.restarts + 1)
        self._cgroup, self._group_limits_memory = None, False
        if wanted.cgroup or wanted.memory is not None:
            self._cgroup = self._host.cgroups.of(self.spec.name)
        if self._cgroup is None:
            return launching.spawn_of(self.spec, tag, self._rlimit_tag, outputs)
        self._group_limits_memory = wanted.memory is not None and self._cgroup.limit_memory(wanted.memory)
        group = str(self._cgroup.path)
        return launching.spawn_of(self.spec, tag, self._rlimit_tag, outputs, group, self._group_limits_memory)

    def _up(self, spawn: Spawn) -> None:
        """It has a process: our child, not reaped yet."""
        record = self._record
        record.effects = spawn.effects
        if resources.cpus_of(self.spec):
            record.effects["cpus"] = resources.cpus_in_effect(spawn.pid)
        if self._cgroup is not None:
            record.effects["cgroup"] = str(self._cgroup.path)
        if self._group_limits_memory:
            record.effects["memory"] = f"{self.spec.resources.memory} bytes (control group)"
        record.restarts += 1
        record.since = time.time()
        process = self._run(spawn.pid, spawn.start_time or 0, reaper=None)
        self.save()
        offsets = record.stdout_offset, record.stderr_offset
        restarts, since, effects = record.restarts, record.since, record.effects
        self._host.emit(Started(self.spec.name, process.pid, process.start_time, *offsets, restarts, since, effects))
        if self.intent is Intent.RUN:
            self._answer("")
        else:  # it was asked to stop during the start
            self._terminate(process)

    def adopt(self, pid: int, start_time: int, launch: int | None = None) -> None:
        """Watch a process that an earlier stem started.

        Args:
            pid: the process id.
            start_time: the start time of that process, in clock ticks since boot.
            launch: the number of its launch, if the journal may lack it.
        """
        self._record.restarts = max(0, self._record.restarts, launch or 0)
        self._started_at = self._now() - procfs.uptime(start_time)
        self._cgroup = self._host.cgroups.found(pid)
        if self._cgroup is not None:
            self._record.effects["cgroup"] = str(self._cgroup.path)
        self._run(pid, start_time, reaper=procfs.parent(pid) or 1)

    def ended_unseen(self, pid: int, start_time: int, group: Cgroup | None) -> None:
        """A process that an earlier stem started has ended while no stem ran."""
        self._cgroup = group
        self._started_at = self._now() - procfs.uptime(start_time)
        self._ended(self._made(pid, start_time, reaper=os.getppid()), ProcessEnd())

    def complete(self, spec: LaunchSpec) -> None:
        """Take a launch specification in place of a lost one. A running process stays; without one, it is started."""
        former, self.spec = self.spec, spec
        self.recovered = False
        history = self._revival.history()
        self._revival = Revival(spec.revival, random.random)
        self._revival.restore(history)
        if self.phase is Phase.WAITING and not former.argv:
            self.launch()
        else:
            self._answer("")

    def resume(self) -> None:
        """Wait for the start that an earlier stem had planned, if there was one."""
        if self._record.due is not None:
            self._launch_in(max(0.0, self._record.due - self._now()))

    def _launch_failed(self, error: LaunchError) -> None:
        """The launch failed. It is tried again as the policy says."""
        self.phase = Phase.WAITING
        if self.intent is Intent.DESTROY:
            self._forget()
            return
        self.intent = Intent.RUN
        if isinstance(error, ShortageError):
            decision = self._revival.lacked_resources()
        else:
            decision = self._revival.ended(self._started_at, self._now(), was_running=False)
        self._record.failed = decision.failed
        self._host.emit(LaunchFailed(self.spec.name, error.reason, decision.delay, decision.failed))
        self._launch_after(decision, was_running=False)
        self._answer(error.reason)

    def _run(self, pid: int, start_time: int, reaper: int | None) -> Process:
        self.phase = Phase.RUNNING
        process = self._made(pid, start_time, reaper)
        self._record.pid, self._record.start_time, self._record.former = pid, start_time, None
        self._record.failed, self._record.due = False, None
        self._host.children.watch(process)
        return process

    def _made(self, pid: int, start_time: int, reaper: int | None) -> Process:
        process = self._process = Process(
            pid,
            start_time,
            self._host.records.tree,
            self.spec,
            self._rlimit_tag,
            cgroup=self._cgroup,
            reaper=reaper,
            on_end=lambda end: self._ended(process, end),
            on_leftover_end=self._leftover_ended,
        )
        return process

    # --- going down

    def stop(self, intent: Intent, finished: Finished) -> None:
        """Stop its process, then do as ``intent`` says; ``finished`` is called once when that is done."""
        if self.intent is Intent.DESTROY and intent is Intent.RESTART:
            finished("it is being destroyed")
            return
        was_stopping = self.intent is not Intent.RUN
        self.intent = intent
        self._finished.append(finished)
        if self.phase is Phase.WAITING:
            self._cleared()
        elif self.phase is Phase.RUNNING and not was_stopping and self._process is not None:
            self._terminate(self._process)

    def when_started(self, finished: Finished) -> None:
        """Call ``finished`` once the first launch has succeeded or failed."""
        self._finished.append(finished)

    def hurry(self) -> None:
        """If it is being stopped, kill it when its grace is over, even if it is still working."""
        if self._stop is not None and self._process is not None:
            self._stop.hurry()
            self._look(self._process, self._stop)

    def _terminate(self, process: Process) -> None:
        process.is_stopping = True
        process.note_descendants()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # a process that is suspended (SIGSTOP) would not act on SIGTERM
        spec = self.spec
        stop = self._stop = Stop(self._now(), spec.grace, spec.grace_ceiling)
        if stop.work_counts:
            stop = self._stop = Stop(self._now(), spec.grace, spec.grace_ceiling, process.work())
        self._look_later(process, stop)

    def _look_later(self, process: Process, stop: Stop) -> None:
        self._set_timer(self._host.timers.after(stop.next_measurement - self._now(), lambda: self._look(process, stop)))

    def _look(self, process: Process, stop: Stop) -> None:
        """Kill it, or wait longer while it still works."""
        now = self._now()
        if stop.work_counts:
            stop.measured(now, process.work())
        if now >= stop.due:
            self._kill(process)
            return
        if stop.take_due_report(now):
            done = stop.done
            self._host.emit(Stopping(self.spec.name, process.pid, done.written, done.cpu, stop.elapsed(now)))
        self._look_later(process, stop)

    def _kill(self, process: Process) -> None:
        self._stop = None
        process.note_descendants()
        if self._cgroup is not None:
            self._cgroup.kill()
        process.send_signal(signal.SIGKILL)
        self._leftovers |= self._host.children.kill_leftovers(process)

    def _ended(self, process: Process, end: ProcessEnd) -> None:
        """Its process has ended, its group has been killed, and the process is reaped if it was our child."""
        self._set_timer(None)
        self._stop = None
        self._host.children.unwatch(process)
        self.phase = Phase.CLEARING
        record = self._record
        requested = self.intent is not Intent.RUN
        if requested:
            self._decision = _AT_ONCE if self.intent is Intent.RESTART else NEVER
        else:
            self._decision = self._revival.ended(self._started_at, self._now())
            record.failed = self._decision.failed
        record.pid, record.start_time, record.former = None, None, process.pid
        record.due = self._due_in(self._decision.delay)
        record.since = time.time()
        short = not requested and end.is_kill and self._cgroup is not None and self._cgroup.was_short_of_memory
        last = record.last_exit = LastExit(record.since, end.code, end.signal, end.core_dumped, requested, short)
        self.save()  # before anybody is told: the next stem must not report the same end again
        self._host.emit(self._exited(process, end, last))
        self._leftovers |= self._host.children.kill_leftovers(process)
        if self._leftovers:
            self._set_timer(self._host.timers.after(CLEARING_PATIENCE, self._cleared))
        else:
            self._cleared()

    def _leftover_ended(self, pid: int) -> None:
        """One of its leftover processes has ended, and may have left children in turn."""
        self._leftovers.discard(pid)
        if self.phase is Phase.CLEARING and not self._leftovers and self._process is not None:
            self._leftovers = self._host.children.kill_leftovers(self._process)
            if not self._leftovers:
                self._cleared()

    def _cleared(self) -> None:
        """None of its processes is left."""
        self._set_timer(None)
        self._leftovers = set()
        self.phase = Phase.WAITING
        if self._cgroup is not None:
            self._cgroup.remove()
            self._cgroup = None
        if self.intent is Intent.DESTROY:
            self._forget()
        elif self.intent is Intent.RESTART:
            self.intent = Intent.RUN
            self._revival.clear()
            self.launch()
        else:
            self._launch_after(self._decision)

    def _forget(self) -> None:
        self._host.forget(self.spec.name)
        self._answer("")

    def _launch_after(self, decision: Decision, was_running: bool = True) -> None:
        if decision.delay == 0.0 and was_running:
            self.launch()  # only if it was running: a launch that fails at once comes back here and must not recurse
            return
        self._record.due = self._due_in(decision.delay)
        self.save()
        if decision.delay is not None:
            self._launch_in(decision.delay)

    def _launch_in(self, delay: float) -> None:
        self._set_timer(self._host.timers.after(delay, self.launch))

    def _due_in(self, delay: float | None) -> float | None:
        return None if delay is None else self._now() + delay

    def _now(self) -> float:
        return self._host.timers.clock()

    def _answer(self, text: str) -> None:
        finished, self._finished = self._finished, []
        for callback in finished:
            callback(text)

    def _set_timer(self, timer: Timer | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    # --- telling

    def taken_out(self, path: str, size: int) -> None:
        """Note that ``size`` bytes were removed from the beginning of an output file: its offsets become smaller."""
        record = self._record
        if path == self.spec.stdout_file:
            record.stdout_offset = max(0, record.stdout_offset - size)
        if path == self.spec.stderr_file:
            record.stderr_offset = max(0, record.stderr_offset - size)
        if path in (self.spec.stdout_file, self.spec.stderr_file):
            self.save()

    def report(self) -> NodeReport:
        """Everything that is known, except the content of its files, which may be large; they are in its directory."""
        record = self._record
        return NodeReport(
            spec=msgspec.structs.replace(self.spec, files={}),
            pid=record.former if record.pid is None else record.pid,
            start_time=None if self._process is None else self._process.start_time,
            running=self.phase is Phase.RUNNING,
            failed=record.failed,
            restarts=max(0, record.restarts),
            stdout_offset=record.stdout_offset,
            stderr_offset=record.stderr_offset,
            since=record.since,
            effects=record.effects,
            last_exit=record.last_exit,
            recovered=self.recovered,
            next_in=None if record.due is None else max(0.0, record.due - self._now()),
        )

    def _exited(self, process: Process, end: ProcessEnd, last: LastExit) -> Exited:
        record = self._record
        return Exited(
            name=self.spec.name,
            pid=process.pid,
            start_time=process.start_time,
            code=end.code,
            signal=end.signal,
            core_dumped=end.core_dumped,
            requested=last.requested,
            revive_in=self._decision.delay,
            failed=record.failed,
            stdout_offset=record.stdout_offset,
            stdout_end=node_files.size_of(self.spec.stdout_file),
            stderr_offset=record.stderr_offset,
            stderr_end=node_files.size_of(self.spec.stderr_file),
            at=last.at,
            uptime=procfs.uptime(process.start_time) if process.start_time else 0.0,
            restarts=max(0, record.restarts),
            out_of_memory=last.out_of_memory,
            usage=end.usage,
            limits=end.limits,
            effects=record.effects,
        )

    def save(self) -> None:
        """Write what the next stem must know to the journal."""
        history = self._revival.history()
        self._record.past = history if history.ends else None
        self._record.ended = self.phase is not Phase.RUNNING and self._record.due is None
        self._host.records.save(self._record)

    def recall(self, record: ProcessRecord) -> None:
        """Take over what an earlier stem knew about the node."""
        self._record = msgspec.structs.replace(record, pid=None, start_time=None)
        if record.past is not None:
            self._revival.restore(record.past)
