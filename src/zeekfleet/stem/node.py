"""One node's life in the stem.

::

              launch                     up                   leader ended
    WAITING ─────────▶ STARTING ─────────────────▶ RUNNING ─────────────────▶ CLEARING
       ▲  ▲               │                           │ stop: SIGTERM, grace,    │ what it left
       │  └───────────────┘ launch failed             │ SIGKILL, to its group    │ is killed
       └────────────────────────────────────────────────────────────────────────┘
                 revived at once, later, or never; restarted; or forgotten

What a node should do next is its ``intent``; a process that ends takes the way that
the intent of that moment tells.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping

from zeekfleet.errors import LaunchError, ShortageError
from zeekfleet.lifecycle.revival import NEVER, Decision, Revival
from zeekfleet.lifecycle.stopping import Stop
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import account, brands, kinship, launching, marks, resources, signalling, spawn
from zeekfleet.stem.birth import Birth
from zeekfleet.stem.cgroups import Cgroup
from zeekfleet.stem.ending import Ending
from zeekfleet.stem.phases import Intent, Phase
from zeekfleet.stem.protocol import LastExit, LaunchFailed, Started, Stopping
from zeekfleet.stem.surroundings import Surroundings
from zeekfleet.system import procfs
from zeekfleet.system.timers import Timer

CLEARING_PATIENCE = 10.0
"""Seconds to wait for killed leftovers: one stuck in the kernel must not hold up its node for ever."""

_AT_ONCE = Decision(delay=0.0)

Finished = Callable[[str], None]
"""Takes an error text, empty when what was asked for is done."""


class Node:
    """One node; all methods return at once."""

    def __init__(self, spec: LaunchSpec, table: Surroundings, random: Callable[[], float], tree: str) -> None:
        self.spec = spec
        self.tree = tree
        self.brand = brands.of_node(tree, spec.name)
        self.recovered = False
        self.phase = Phase.WAITING
        self.pid: int | None = None
        self.start_time: int | None = None
        self.pidfd: int | None = None
        self.is_child = True
        self.reaper: int | None = None
        """To whom its orphans go, if it is no child of ours."""
        self.failed = False
        self.due: float | None = None
        """When the next start was to be, on the clock of the timers, when it was last decided on; None for never."""
        self.restarts = -1
        self.offsets = (0, 0)
        self.since = time.time()
        self.effects: resources.Effects = {}
        self.last_exit: LastExit | None = None
        self.cgroup: Cgroup | None = None
        self.leftovers: set[int] = set()
        self.descendants: dict[int, int] = {}
        """Whom it had started when it was asked to stop, and their start times."""
        self.intent = Intent.RUN
        self._memory_is_limited = False
        self._memory_kills = 0
        self._table = table
        self._random = random
        self.revival = Revival(spec.revival, random)
        self._started_at = 0.0
        self._decision = NEVER
        self._timer: Timer | None = None
        self._stop: Stop | None = None
        """While its process has been asked to end."""
        self._finished: list[Finished] = []

    @property
    def next_mark(self) -> str:
        """What its next process carries."""
        return marks.of_launch(self.tree, self.spec.name, self.restarts + 1)

    def owns(self, mark: str | None) -> bool:
        """Whether a process with this mark comes from it, whichever launch that was."""
        read = None if mark is None else marks.read(mark)
        return read is not None and (read.tree, read.node) == (self.tree, self.spec.name)

    # --- coming up

    def launch(self, files: Mapping[str, str] | None = None) -> None:
        """Start its process; ends in ``up`` or ``launch_failed``, perhaps later.

        Args:
            files: what must be in its directory; as it was put away, when left out.
        """
        self._set_timer(None)
        self._started_at = self._table.timers.clock()
        try:
            launching.check(self.spec)
            outputs = spawn.prepare(self.spec, self._table.files_of(self) if files is None else files)
            self.offsets = outputs.offsets
            try:
                self._begin(outputs)
            except LaunchError:
                outputs.close()
                raise
        except LaunchError as error:
            self._failed_by(error)

    def _begin(self, outputs: spawn.Outputs) -> None:
        self.phase = Phase.STARTING

        def done(birth: Birth) -> None:
            outputs.close()
            if birth.problem is None:
                self.up(birth.pid, birth.start_time, birth.effects)
            else:
                self._failed_by(launching.problem_of(self.spec.name, birth.problem))

        self._table.start(self._birth(outputs), done)

    def _birth(self, outputs: spawn.Outputs) -> Birth:
        """How its process comes to be: in its control group, if it has one."""
        self._memory_is_limited = False
        self.cgroup = self._table.group_of(self)
        if self.cgroup is None:
            return launching.birth_of_node(self.spec, self.next_mark, self.brand, outputs)
        memory = self.spec.resources.memory
        self._memory_is_limited = memory is not None and self.cgroup.limit_memory(memory)
        self._memory_kills = self.cgroup.out_of_memory_kills()
        group, limited = str(self.cgroup.path), self._memory_is_limited
        return launching.birth_of_node(self.spec, self.next_mark, self.brand, outputs, group, limited)

    def up(self, pid: int, start_time: int | None, effects: resources.Effects) -> None:
        """It has a process, a child of ours that has not been reaped."""
        self.is_child = True
        self.effects = effects
        if resources.cpus_of(self.spec):
            effects["cpus"] = resources.cpus_in_effect(pid)
        if self.cgroup is not None:
            effects["cgroup"] = str(self.cgroup.path)
            if self._memory_is_limited:
                effects["memory"] = f"{self.spec.resources.memory} bytes (control group)"
        self._take(pid, start_time or 0)
        self.restarts += 1
        self.failed = False
        self.since = time.time()
        self._table.save(self)
        self._table.emit(
            Started(self.spec.name, pid, self.start_time or 0, *self.offsets, self.restarts, self.since, self.effects)
        )
        self._go_on()

    def adopt(self, pid: int, start_time: int, launch: int | None = None) -> None:
        """Watch a process that an earlier stem started, perhaps by a launch that it did not live to note."""
        self.is_child = False
        self.reaper = procfs.parent(pid)
        self.restarts = max(0, self.restarts, launch or 0)
        self._started_at = self._table.timers.clock() - procfs.uptime(start_time)
        self.cgroup = self._table.group_found(pid)
        if self.cgroup is not None:
            self.effects = {**self.effects, "cgroup": str(self.cgroup.path)}
            self._memory_kills = self.cgroup.out_of_memory_kills()
        self.failed = False
        self._take(pid, start_time)

    def complete(self, spec: LaunchSpec) -> None:
        """Learn what it is launched with; its process stays, and if it waits for one, it gets one."""
        former, self.spec = self.spec, spec
        self.recovered = False
        memory = self.revival.memory()
        self.revival = Revival(spec.revival, self._random)
        self.revival.recall(memory)
        if self.phase is Phase.WAITING and not former.argv:
            self.launch()
        else:
            self._answer("")

    def ended_unseen(self, pid: int, start_time: int, group: Cgroup | None) -> None:
        """A process that an earlier stem started is no more."""
        self.is_child = False
        self.reaper = os.getppid()
        self.pid, self.start_time = pid, start_time
        self.cgroup = group
        self._started_at = self._table.timers.clock() - procfs.uptime(start_time)
        self.leader_ended(Ending())

    def resume(self) -> None:
        """It does not run: go on waiting for the start that an earlier stem saw coming, if one was."""
        if self.due is not None:
            self._launch_in(max(0.0, self.due - self._table.timers.clock()))

    def _failed_by(self, error: LaunchError) -> None:
        self.launch_failed(error.reason, is_shortage=isinstance(error, ShortageError))

    def launch_failed(self, reason: str, is_shortage: bool = False) -> None:
        """There is no process; it is tried again as the policy says."""
        self.phase = Phase.WAITING
        if self.intent is Intent.DESTROY:
            self._table.forget(self)
            self._answer("")
            return
        self.intent = Intent.RUN
        now = self._table.timers.clock()
        if is_shortage:
            decision = self.revival.was_short()
        else:
            decision = self.revival.ended(self._started_at, now, was_running=False)
        self.failed = decision.failed
        self._table.emit(LaunchFailed(self.spec.name, reason, decision.delay, decision.failed))
        self._launch_after(decision, was_running=False)
        self._answer(reason)

    def _take(self, pid: int, start_time: int) -> None:
        self.phase = Phase.RUNNING
        self.pid, self.start_time = pid, start_time
        self._table.watch(self)

    def _go_on(self) -> None:
        """It is up: answer, or carry out what was asked for meanwhile."""
        if self.intent is Intent.RUN:
            self._answer("")
        else:
            self._terminate()

    # --- going down

    def stop(self, intent: Intent, finished: Finished) -> None:
        """Destroy or restart; ``finished`` is called once when that is done."""
        if self.intent is Intent.DESTROY and intent is Intent.RESTART:
            finished("it is being destroyed")
            return
        was_stopping = self.intent is not Intent.RUN
        self.intent = intent
        self._finished.append(finished)
        if self.phase is Phase.WAITING:
            self._cleared()
        elif self.phase is Phase.RUNNING and not was_stopping:
            self._terminate()

    def when_started(self, finished: Finished) -> None:
        """Call once the first launch has come to an end."""
        self._finished.append(finished)

    def _terminate(self) -> None:
        kinship.note_descendants(self)
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)  # a stopped one would never hear of it
        clock, spec = self._table.timers.clock, self.spec
        self._stop = Stop(clock(), spec.grace, spec.grace_ceiling)
        if self._stop.looks:
            self._stop = Stop(clock(), spec.grace, spec.grace_ceiling, kinship.work_of(self))
        self._wait_for_end(self._stop)

    def _wait_for_end(self, stop: Stop) -> None:
        self._set_timer(self._table.timers.after(stop.next_look - self._table.timers.clock(), self._look))

    def _look(self) -> None:
        """Kill it, or wait on while it has something to do."""
        if (stop := self._stop) is None:
            return
        now = self._table.timers.clock()
        if stop.looks:
            stop.look(now, kinship.work_of(self))
        if now >= stop.due:
            self._kill()
            return
        if stop.is_news(now):
            done = stop.done
            self._table.emit(Stopping(self.spec.name, self.pid or 0, done.written, done.cpu, stop.elapsed(now)))
        self._wait_for_end(stop)

    def hurry(self) -> None:
        """If it is being stopped, give it no more than its grace, whatever it still has to do."""
        if self._stop is not None:
            self._stop.hurry()
            self._look()

    def _kill(self) -> None:
        self._stop = None
        kinship.note_descendants(self)
        if self.cgroup is not None:
            self.cgroup.kill()
        self.send_signal(signal.SIGKILL)
        self.leftovers |= self._table.kill_leftovers(self)

    def send_signal(self, number: signal.Signals) -> None:
        """Signal its whole process group, or it alone while it has none of its own yet."""
        # Our own child keeps its pid until we reap it; another's might have passed it on.
        if self.pid is not None and (self.is_child or procfs.start_time(self.pid) in (None, self.start_time)):
            signalling.send(self.pid, number, self.pidfd, is_child=self.is_child)

    def leader_ended(self, ending: Ending) -> None:
        """Its process has ended, and has been reaped; its group has been killed."""
        self._set_timer(None)
        self._stop = None
        self._table.unwatch(self)
        self.phase = Phase.CLEARING
        requested = self.intent is not Intent.RUN
        if requested:
            self._decision = _AT_ONCE if self.intent is Intent.RESTART else NEVER
        else:
            self._decision = self.revival.ended(self._started_at, self._table.timers.clock())
            self.failed = self._decision.failed
        self.due = self._due_in(self._decision.delay)
        self.since = time.time()
        killed = (
            not requested
            and ending.is_kill
            and self.cgroup is not None
            and self.cgroup.out_of_memory_kills() > self._memory_kills
        )
        self.last_exit = LastExit(self.since, ending.code, ending.signal, ending.core_dumped, requested, killed)
        self._table.save(self)  # who is told of it need not be told again by the next stem
        self._table.emit(account.exit_of(self, ending, self.last_exit, self._decision.delay))
        self.leftovers |= self._table.kill_leftovers(self)
        if self.leftovers:
            self._set_timer(self._table.timers.after(CLEARING_PATIENCE, self._cleared))
        else:
            self._cleared()

    def leftover_ended(self, pid: int) -> None:
        """One of what it left behind has been reaped, which may have handed us its own children."""
        self.leftovers.discard(pid)
        if self.phase is Phase.CLEARING and not self.leftovers:
            self.leftovers = self._table.kill_leftovers(self)
            if not self.leftovers:
                self._cleared()

    def _cleared(self) -> None:
        """No process of it is left."""
        self._set_timer(None)
        self.leftovers = set()
        self.descendants = {}
        self.phase = Phase.WAITING
        if self.cgroup is not None:
            self.cgroup.remove()
            self.cgroup = None
        if self.intent is Intent.DESTROY:
            self._table.forget(self)
            self._answer("")
        elif self.intent is Intent.RESTART:
            self.intent = Intent.RUN
            self.revival.clear()
            self.launch()
        else:
            self._launch_after(self._decision)

    def _launch_after(self, decision: Decision, was_running: bool = True) -> None:
        if decision.delay == 0.0 and was_running:
            self.launch()  # a start that fails at once would come back here: it has the loop's next round
            return
        self.due = self._due_in(decision.delay)
        self._table.save(self)
        if decision.delay is not None:
            self._launch_in(decision.delay)

    def _launch_in(self, delay: float) -> None:
        self._set_timer(self._table.timers.after(delay, self.launch))

    def _due_in(self, delay: float | None) -> float | None:
        return None if delay is None else self._table.timers.clock() + delay

    # --- telling

    def taken_out(self, path: str, size: int) -> None:
        """From the beginning of an output file so many bytes have been taken out since its process began."""
        files = (self.spec.stdout_file, self.spec.stderr_file)
        stdout, stderr = (
            max(0, offset - size) if file == path else offset for file, offset in zip(files, self.offsets, strict=True)
        )
        self.offsets = (stdout, stderr)
        self._table.save(self)

    @property
    def is_running(self) -> bool:
        """Whether its process is there, as far as is known."""
        return self.phase is Phase.RUNNING

    def _answer(self, text: str) -> None:
        finished, self._finished = self._finished, []
        for callback in finished:
            callback(text)

    def _set_timer(self, timer: Timer | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer
