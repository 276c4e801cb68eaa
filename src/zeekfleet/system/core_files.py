"""Core files of our own processes. None are left: their memory holds keys, and passwords in the environments of nodes.

The kernel writes no core of a process that is not "dumpable". The entries of such a process in ``/proc`` belong to
root. This harms nobody if we are root and may look at any process. Otherwise our processes need the entries of each
other: a new stem finds agent and controller by their environment, and ``zeekfleet stop`` looks whether a process has a
lock open. Then a limit of one byte for cores takes its place. Other than zero, the kernel also respects this limit
where ``core_pattern`` hands cores to a program (core(5)).

Nodes leave cores as before: a process is dumpable again when it executes a program, and a stem is given the limit that
its supervisor was started with.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

from zeekfleet.system import capabilities

_PR_SET_DUMPABLE = 4
_LIMIT = 1

_library = ctypes.CDLL(None)
_inherited = resource.getrlimit(resource.RLIMIT_CORE)
"""The limits that this process was started with."""


def leave_none() -> None:
    """Leave no core if this process crashes."""
    if os.geteuid() == 0 and "CAP_SYS_PTRACE" in capabilities.effective():
        hide_memory()
        return
    hard = _inherited[1]
    soft = _LIMIT if hard == resource.RLIM_INFINITY else min(_LIMIT, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def hide_memory() -> None:
    """Leave no core, and let nobody but root look at this process in ``/proc``."""
    _library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def restore_limit(pid: int) -> None:
    """Give a child the limits that this process was started with."""
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_CORE, _inherited)
