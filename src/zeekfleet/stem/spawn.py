"""Starts a process: its own session, default signals, nothing inherited but the descriptors that are listed.

``posix_spawn`` does it: its child shares our memory until it executes its program, so
that no code of ours runs in it, and the cost does not grow with our size. It is called in
the C library itself, without Python's lock: the call returns once the program has been
executed, and other threads can do the same meanwhile (``spawn_pool``).
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from zeekfleet.stem import rlimit_tag
from zeekfleet.system import procfs
from zeekfleet.system.programs import refusal

_POSIX_SPAWN_SETSIGDEF, _POSIX_SPAWN_SETSIGMASK, _POSIX_SPAWN_SETSID = 0x04, 0x08, 0x80
_Opaque = ctypes.c_char * 512
"""Room for any of the library's structures, whose sizes differ between libraries."""

_alongside = ctypes.CDLL(None)
"""Calls through this let other threads run."""
_library = ctypes.PyDLL(None)
"""Calls through this do not, which is cheaper for what takes no time."""
_posix_spawn = _alongside.posix_spawn
IS_AVAILABLE = hasattr(_library, "posix_spawn_file_actions_addchdir_np")
"""False with a GNU C library before 2.29: there every process is forked (``forked_spawn``)."""

_clock = procfs.StartClock()

Texts = ctypes.Array[ctypes.c_char_p]


class Spawn:
    """The start of one process, to be run once.

    Args:
        program: its path; a relative one begins at ``directory``.
        argv: its command line.
        env: its whole environment.
        directory: its working directory.
        descriptors: what it finds open, beside ``/dev/null`` to read: its number for each of ours.
        cpus: where it may run; empty for where we may.
        tag: in its resource limits, by which its descendants are known (``rlimit_tag``).

    Raises:
        ValueError: a text holds a NUL.

    Attributes:
        pid: its process id.
        start_time: see ``procfs.start_time``.
        problem: why it could not be started.
        effects: what limits took effect, for a person.
    """

    def __init__(
        self,
        program: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        directory: str,
        descriptors: Mapping[int, int],
        cpus: frozenset[int] = frozenset(),
        tag: int | None = None,
    ) -> None:
        self.program = os.fsencode(program)
        self.argv = texts(argv)
        self.env = texts([f"{name}={value}" for name, value in env.items()])
        self.directory = os.fsencode(directory)
        if b"\0" in self.program or b"\0" in self.directory:
            raise ValueError("embedded null byte")
        self.descriptors = descriptors
        self.cpus = cpus
        self.tag = tag
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
            with _pinned(self.cpus):
                self._start()
        except Exception as error:
            self.problem = error

    def _start(self) -> None:
        actions, pid = _Opaque(), ctypes.c_int()
        _check(_library.posix_spawn_file_actions_init(actions))
        try:
            _check(_library.posix_spawn_file_actions_addopen(actions, 0, b"/dev/null", os.O_RDONLY, 0))
            for theirs, ours in self.descriptors.items():
                _check(_library.posix_spawn_file_actions_adddup2(actions, ours, theirs))
            _check(_library.posix_spawn_file_actions_addchdir_np(actions, self.directory))
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            error = _posix_spawn(ctypes.byref(pid), self.program, actions, _attributes, self.argv, self.env)
            after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        finally:
            _library.posix_spawn_file_actions_destroy(actions)
        if error:
            raise self.failure(error)
        self.pid = pid.value
        if self.tag is not None:
            rlimit_tag.put_on(self.pid, self.tag)  # a child that it has started before this is known by other traces
        self.start_time = _clock.start_time(self.pid, before, after)

    def failure(self, number: int) -> OSError:
        """What the system's refusal means."""
        if not os.access(self.directory, os.X_OK):
            return OSError(number, os.strerror(number), os.fsdecode(self.directory))
        program = os.path.join(os.fsdecode(self.directory), os.fsdecode(self.program))
        return OSError(number, refusal(program, number), program)


def texts(words: Sequence[str]) -> Texts:
    """Texts as C has them: an array of pointers that ends with a null.

    Raises:
        ValueError: a text holds a NUL.
    """
    if not words:
        return (ctypes.c_char_p * 1)()
    encoded = os.fsencode("\0".join(words)).split(b"\0")
    if len(encoded) != len(words):
        raise ValueError("embedded null byte")
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded)


def ignored_signals() -> set[signal.Signals]:
    """The signals that a child would go on ignoring because we do; executing a program resets all others."""
    return {number for number in signal.Signals if signal.getsignal(number) == signal.SIG_IGN}


def _check(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def _made_attributes() -> Any:
    """For all starts: own session, no signal blocked, none ignored."""
    attributes, signals = _Opaque(), _Opaque()
    _library.posix_spawnattr_init(attributes)
    flags = _POSIX_SPAWN_SETSIGDEF | _POSIX_SPAWN_SETSIGMASK | _POSIX_SPAWN_SETSID
    _library.posix_spawnattr_setflags(attributes, ctypes.c_short(flags))
    _library.sigemptyset(signals)
    _library.posix_spawnattr_setsigmask(attributes, signals)
    for number in ignored_signals():
        _library.sigaddset(signals, int(number))
    _library.posix_spawnattr_setsigdefault(attributes, signals)
    return attributes


_attributes = _made_attributes()


@contextmanager
def _pinned(cpus: frozenset[int]) -> Iterator[None]:
    """Move this thread to some CPUs, so that the child begins there."""
    names = ", ".join(str(cpu) for cpu in sorted(cpus))
    if min(cpus) < 0:
        raise ValueError(f"CPU {names} does not exist")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, OverflowError) as error:
        raise ValueError(f"CPU {names} to pin to is offline or absent") from error
    try:
        if missing := cpus - os.sched_getaffinity(0):
            raise ValueError(f"CPU {', '.join(map(str, sorted(missing)))} to pin to is offline or absent")
        yield
    finally:
        os.sched_setaffinity(0, before)
