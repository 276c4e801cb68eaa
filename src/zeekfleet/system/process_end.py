"""How a process ended: exit code or signal, and what it used."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import struct

import msgspec

_PIDFD_GET_INFO = (3 << 30) | (64 << 16) | (0xFF << 8) | 11
_INFO = struct.Struct("=QQ11Ii")
_INFO_EXIT = 1 << 3
_SHELL_TELLS_OF_KILL = 128 + signal.SIGKILL


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What a process and its reaped children used (``getrusage``): seconds, bytes, counts."""

    user: float
    system: float
    max_resident: int
    minor_faults: int
    major_faults: int
    blocks_read: int
    blocks_written: int
    voluntary_switches: int
    involuntary_switches: int


class ProcessEnd(msgspec.Struct, frozen=True, gc=False):
    """The end of a process. All fields have their defaults if the exit status was lost."""

    code: int | None = None
    signal: int | None = None
    core_dumped: bool = False
    usage: Usage | None = None
    limits: str = ""
    """The content of ``/proc/<pid>/limits``, for an abnormal end."""

    @property
    def is_kill(self) -> bool:
        """Whether it may have been killed."""
        return is_kill(self.code, self.signal)


def is_kill(code: int | None, number: int | None) -> bool:
    """Whether SIGKILL may have ended the process or its child (a shell then exits with 137), or the status was lost."""
    return number == signal.SIGKILL or (number is None and code in (None, _SHELL_TELLS_OF_KILL))


def from_status(status: int, used: resource.struct_rusage | None = None, limits: str = "") -> ProcessEnd:
    """From a wait status, as ``wait4`` gives it."""
    exited = os.WIFEXITED(status)
    return ProcessEnd(
        code=os.WEXITSTATUS(status) if exited else None,
        signal=None if exited else os.WTERMSIG(status),
        core_dumped=not exited and os.WCOREDUMP(status),
        usage=None if used is None else _usage(used),
        limits=limits,
    )


def status_of_reaped(pidfd: int) -> int | None:
    """The wait status of a process that another one has reaped; None if the kernel (before 6.15) does not keep it."""
    buffer = bytearray(_INFO.pack(_INFO_EXIT, *([0] * 13)))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, buffer)
    except OSError:
        return None
    mask, *_, status = _INFO.unpack(buffer)
    return status if mask & _INFO_EXIT else None


def _usage(used: resource.struct_rusage) -> Usage:
    return Usage(
        user=used.ru_utime,
        system=used.ru_stime,
        max_resident=used.ru_maxrss * 1024,
        minor_faults=used.ru_minflt,
        major_faults=used.ru_majflt,
        blocks_read=used.ru_inblock,
        blocks_written=used.ru_oublock,
        voluntary_switches=used.ru_nvcsw,
        involuntary_switches=used.ru_nivcsw,
    )
