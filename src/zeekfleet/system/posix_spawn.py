"""``posix_spawn(3)``, and ``fork`` into a control group, where Python's own functions are not enough.

``os.posix_spawn`` cannot set the working directory. It also holds Python's global lock until the program has been
executed; here, other threads can run in the meantime.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

_POSIX_SPAWN_SETSIGDEF, _POSIX_SPAWN_SETSIGMASK, _POSIX_SPAWN_SETSID = 0x04, 0x08, 0x80
_CLONE_INTO_CGROUP = 0x200000000
_SYS_CLONE3 = 435  # the same on all architectures
_ARGUMENT_WORDS = 11
_Opaque = ctypes.c_char * 512
"""Large enough for every structure of the C library; the sizes differ between libraries."""

_alongside = ctypes.CDLL(None)
"""Calls through this release Python's global lock, so that other threads can run."""
_library = ctypes.PyDLL(None, use_errno=True)
"""Calls through this keep the lock, which costs less for short calls."""
_posix_spawn = _alongside.posix_spawn
IS_AVAILABLE = hasattr(_library, "posix_spawn_file_actions_addchdir_np")
"""False with a GNU C library before 2.29."""

Texts = ctypes.Array[ctypes.c_char_p]


def texts(words: Sequence[str]) -> Texts:
    """Texts as an array of C strings that ends with a null pointer.

    Raises:
        ValueError: a text contains a NUL.
    """
    if not words:
        return (ctypes.c_char_p * 1)()
    encoded = os.fsencode("\0".join(words)).split(b"\0")
    if len(encoded) != len(words):
        raise ValueError("embedded null byte")
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded)


def posix_spawn(program: bytes, argv: Texts, env: Texts, directory: bytes, descriptors: Mapping[int, int]) -> int:
    """Start a program in a session of its own, with default signals; its process id.

    Args:
        program: its path; a relative path starts at ``directory``.
        argv: its command line.
        env: its whole environment.
        directory: its working directory.
        descriptors: the descriptors that it gets besides 0, which is ``/dev/null``: a mapping from its number to ours.

    Raises:
        OSError: it could not be executed; ``errno`` tells why.
    """
    actions, pid = _Opaque(), ctypes.c_int()
    _check(_library.posix_spawn_file_actions_init(actions))
    try:
        _check(_library.posix_spawn_file_actions_addopen(actions, 0, b"/dev/null", os.O_RDONLY, 0))
        for theirs, ours in descriptors.items():
            _check(_library.posix_spawn_file_actions_adddup2(actions, ours, theirs))
        _check(_library.posix_spawn_file_actions_addchdir_np(actions, directory))
        _check(_posix_spawn(ctypes.byref(pid), program, actions, _attributes, argv, env))
    finally:
        _library.posix_spawn_file_actions_destroy(actions)
    return pid.value


def execve(program: bytes, argv: Texts, env: Texts) -> int:
    """Replace this process by a program, without allocating memory; the error number if that fails."""
    _library.execve(program, argv, env)
    return ctypes.get_errno()


def fork(group: int | None) -> int:
    """Fork like ``os.fork``, with the child in a control group. A child that cannot enter it ends with 127 at once.

    Args:
        group: a descriptor of the group's directory; None: the group of this process.

    Raises:
        OSError: the system refuses.
    """
    if group is None:
        return os.fork()
    try:
        return _fork_into(group)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    # Filters of system calls (such as that of systemd's RestrictNamespaces=) cannot see what clone3 is to do, and
    # forbid it. To enter the group afterwards takes the kernel some milliseconds more.
    entry = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=group)
    try:
        pid = os.fork()
        if pid == 0:
            _enter(entry)
    finally:
        os.close(entry)
    return pid


def _enter(entry: int) -> None:
    try:
        os.write(entry, b"0")
    except OSError:
        os._exit(127)


def _fork_into(group: int) -> int:
    arguments = (ctypes.c_uint64 * _ARGUMENT_WORDS)()
    arguments[0] = _CLONE_INTO_CGROUP
    arguments[4] = signal.SIGCHLD
    arguments[10] = group
    # ``os.fork`` does the same: other threads do not exist in the child, but the locks that they held are still locked.
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_library.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments)))
    number = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, os.strerror(number), "clone3")
    return pid


def ignored_signals() -> set[signal.Signals]:
    """The signals that this process ignores. A program that it executes would ignore them as well, and only those."""
    return {number for number in signal.Signals if signal.getsignal(number) == signal.SIG_IGN}


def _check(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def _made_attributes() -> Any:
    """The attributes for all starts: a session of its own, no signal blocked or ignored."""
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
