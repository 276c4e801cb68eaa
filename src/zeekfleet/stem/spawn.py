"""Starts a process in its own session, with default signals. It inherits only the descriptors that are listed.

The child of ``posix_spawn`` shares our memory until it executes its program: no code of ours
runs in it, and a start takes no longer if we are large. The call returns once the program has
been executed; meanwhile other threads can start processes, too (``spawn_pool``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zeekfleet.model.launch import Account
from zeekfleet.system import procfs, rlimit_tag
from zeekfleet.system.cpus import pinned
from zeekfleet.system.posix_spawn import posix_spawn, texts
from zeekfleet.system.programs import refusal

_clock = procfs.StartClock()


class Program(NamedTuple):
    """What to run.

    Attributes:
        path: the program; a relative path begins at ``directory``.
        argv: its command line.
        env: its whole environment.
        directory: its working directory.
        descriptors: the descriptors that it gets besides 0, which is ``/dev/null``: a mapping from its number to ours.
        cpus: the CPUs on which it may run; empty for those of the stem.
        tag: the rlimit tag, by which its descendants are recognized (``rlimit_tag``).
        user: the user as which it runs; None for that of the stem.
    """

    path: str
    argv: Sequence[str]
    env: Mapping[str, str]
    directory: str
    descriptors: Mapping[int, int]
    cpus: frozenset[int] = frozenset()
    tag: int | None = None
    user: Account | None = None


class Spawn:
    """The start of one process, to be run once.

    Raises:
        ValueError: a text holds a NUL.

    Attributes:
        pid: its process id.
        start_time: see ``procfs.start_time``.
        problem: the error because of which it could not be started; None if it was.
        effects: which limits took effect, for a person.
    """

    def __init__(self, program: Program) -> None:
        self.path = os.fsencode(program.path)
        self.argv = texts(program.argv)
        self.env = texts([f"{name}={value}" for name, value in program.env.items()])
        self.directory = os.fsencode(program.directory)
        if b"\0" in self.path or b"\0" in self.directory:
            raise ValueError("embedded null byte")
        self.descriptors = program.descriptors
        self.cpus = program.cpus
        self.tag = program.tag
        self.pid = 0
        self.start_time: int | None = None
        self.problem: Exception | None = None
        self.effects: dict[str, str] = {}

    def run(self) -> None:
        """Start it. Sets ``problem`` instead of raising, and may be called in any thread."""
        try:
            if not self.cpus:
                self._start()
                return
            with pinned(self.cpus):
                self._start()
        except Exception as error:
            self.problem = error

    def _start(self) -> None:
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            self.pid = posix_spawn(self.path, self.argv, self.env, self.directory, self.descriptors)
        except OSError as error:
            raise self.failure(error.errno or 0) from error
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if self.tag is not None:
            # The program runs already. A child that it started before this is recognized in other ways (``ownership``).
            rlimit_tag.put_on(self.pid, self.tag)
        self.start_time = _clock.start_time(self.pid, before, after)

    def failure(self, number: int) -> OSError:
        """The error for an error number of ``posix_spawn``: it names the directory or the program, and the cause."""
        if not os.access(self.directory, os.X_OK):
            return OSError(number, os.strerror(number), os.fsdecode(self.directory))
        program = os.path.join(os.fsdecode(self.directory), os.fsdecode(self.path))
        return OSError(number, refusal(program, number), program)
