"""A process comes to be: own session, default signals, nothing inherited but what is listed.

By ``posix_spawn``, whose child shares our memory until it executes its program: no code
of ours runs in it, and it costs the same however large this process is. It is called in
the C library itself, without Python's lock: the caller waits until the program has been
executed, and other threads can do the same meanwhile (``crew``).
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from zeekfleet.stem import brands
from zeekfleet.system import procfs
from zeekfleet.system.programs import refusal

_POSIX_SPAWN_SETSIGDEF, _POSIX_SPAWN_SETSIGMASK, _POSIX_SPAWN_SETSID = 0x04, 0x08, 0x80
_Opaque = ctypes.c_char * 512
"""Room for any of the library's structures, whose sizes differ between libraries."""

_alongside = ctypes.CDLL(None)
"""Other threads run during a call."""
_library = ctypes.PyDLL(None)
"""They do not: cheaper, for what takes no time."""
_posix_spawn = _alongside.posix_spawn
IS_AVAILABLE = hasattr(_library, "posix_spawn_file_actions_addchdir_np")
"""Not so with a GNU C library before 2.29: there everything is forked (``forking``)."""

_clock = procfs.StartClock()

Texts = ctypes.Array[ctypes.c_char_p]


class Birth:
    """One process, to be started once.

    Args:
        program: its path; a relative one begins at ``directory``.
        argv: its command line.
        env: its whole environment.
        directory: its working directory.
        descriptors: what it finds open, beside ``/dev/null`` to read: its number for each of ours.
        cpus: where it may run; empty for where we may.
        brand: what its descendants are known by (``brands``).

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
        brand: int | None = None,
    ) -> None:
        self.program = os.fsencode(program)
        self.argv = texts(argv)
        self.env = texts([f"{name}={value}" for name, value in env.items()])
        self.directory = os.fsencode(directory)
        if b"\0" in self.program or b"\0" in self.directory:
            raise ValueError("embedded null byte")
        self.descriptors = descriptors
        self.cpus = cpus
        self.brand = brand
        self.pid = 0
        self.start_time: int | None = None
        self.problem: Exception | None = None
        self.effects: dict[str, str] = {}

    def happen(self) -> None:
        """Start it; this never raises, and may be called in any thread."""
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
        if self.brand is not None:
            brands.put_on(self.pid, self.brand)  # it has just begun: what it has started already is found otherwise
        self.start_time = _clock.start_time(self.pid, before, after)

    def failure(self, number: int) -> OSError:
        """What the system's refusal means."""
        if not os.access(self.directory, os.X_OK):
            return OSError(number, os.strerror(number), os.fsdecode(self.directory))
        program = os.path.join(os.fsdecode(self.directory), os.fsdecode(self.program))
        return OSError(number, refusal(program, number), program)


def texts(words: Sequence[str]) -> Texts:
    """As C has them: an array of pointers that a null ends.

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
    """Those that a child would ignore as we do; whatever else was set is reset by its execution."""
    return {number for number in signal.Signals if signal.getsignal(number) == signal.SIG_IGN}


def _check(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def _made_attributes() -> Any:
    """Own session, no signal blocked, none ignored: the same for all."""
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
    """This thread on some CPUs, so that the child is born there."""
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
