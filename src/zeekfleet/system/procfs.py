"""Reads facts about processes from ``/proc``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_NANOSECONDS = 10**9 // _TICKS
_CHUNK = 64 * 1024
_LINKS_OF_ONE_THREAD = 3
_MARGIN = 1000
"""Nanoseconds by which the kernel's reading of the clock may differ from ours."""

# Numbers of the fields of /proc/<pid>/stat, counted from the third on.
_STATE, _PARENT, _GROUP, _SESSION, _START, _EXIT_CODE = 0, 1, 2, 3, 19, 49
_CPU_TIMES = slice(11, 15)


def read(path: str) -> bytes:
    """The content of a small file of the kernel; empty if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a file object would take 50 % longer
    except OSError:
        return b""
    try:
        content = chunk = os.read(descriptor, _CHUNK)
        while chunk:
            chunk = os.read(descriptor, _CHUNK)
            content += chunk
    except OSError:
        content = b""
    finally:
        os.close(descriptor)
    return content


def _stat_fields(pid: int) -> list[bytes]:
    """The fields of ``/proc/<pid>/stat`` from the third on; empty if there is no such process."""
    content = read(f"/proc/{pid}/stat")
    # The second field is the program's name in parentheses. It may contain anything, even parentheses.
    return content[content.rfind(b")") + 2 :].split()


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[_START]) if fields else None


def start_time_between(before: int, after: int) -> int | None:
    """The start time of a process that started between two moments (``CLOCK_BOOTTIME``, nanoseconds).

    None if the moments are in different ticks.
    """
    first, last = (before - _MARGIN) // _NANOSECONDS, (after + _MARGIN) // _NANOSECONDS
    return first if first == last else None


class StartClock:
    """Start times of processes that we start.

    The first one is read from ``/proc`` and compared with our own clock. If they agree, the clock is used from then on,
    which saves reading a file for each start.
    """

    def __init__(self) -> None:
        self._is_trusted: bool | None = None

    def start_time(self, pid: int, before: int, after: int) -> int | None:
        """The :func:`start_time` of a child that was started between two moments (``CLOCK_BOOTTIME``, nanoseconds)."""
        told = start_time_between(before, after)
        if told is not None and self._is_trusted:
            return told
        found = start_time(pid)
        if told is not None and found is not None and self._is_trusted is None:
            self._is_trusted = told == found
        return found


def uptime(start: int) -> float:
    """Seconds since a ``start_time``."""
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - start / _TICKS)


def exit_status(pid: int, start: int) -> int | None:
    """The wait status of a zombie, whoever its parent is; None if it is not known."""
    fields = _stat_fields(pid)
    if len(fields) <= _EXIT_CODE or int(fields[_START]) != start or fields[_STATE] not in (b"Z", b"X"):
        return None
    return int(fields[_EXIT_CODE])


def cpu_time(pid: int) -> float:
    """Seconds of CPU that a process and its reaped children have used; 0 if there is no such process."""
    return sum(int(ticks) for ticks in _stat_fields(pid)[_CPU_TIMES]) / _TICKS


def bytes_written(pid: int) -> int:
    """Bytes that a process and its reaped children have written; 0 if we may not read that."""
    for line in read(f"/proc/{pid}/io").splitlines():
        if line.startswith(b"wchar:"):
            return int(line.split()[1])
    return 0


def parent(pid: int) -> int | None:
    """The process's parent; None if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[_PARENT]) if fields else None


class Life(NamedTuple):
    """Start (:func:`start_time`) and parent of a process that has not ended."""

    start_time: int
    parent: int


def life(pid: int) -> Life | None:
    """Start and parent, read at the same moment; None if there is no such process, or it has ended."""
    fields = _stat_fields(pid)
    is_alive = fields and fields[_STATE] not in (b"Z", b"X")
    return Life(int(fields[_START]), int(fields[_PARENT])) if is_alive else None


def process_group(pid: int) -> int | None:
    """The process's group; None if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[_GROUP]) if fields else None


def session(pid: int) -> int | None:
    """The process's session; None if there is no such process, or it has ended."""
    fields = _stat_fields(pid)
    return int(fields[_SESSION]) if fields and fields[_STATE] not in (b"Z", b"X") else None


def session_of_ended(pid: int) -> int | None:
    """The session of a zombie; None if the process is not one."""
    fields = _stat_fields(pid)
    return int(fields[_SESSION]) if fields and fields[_STATE] in (b"Z", b"X") else None


def status(pid: int | str) -> dict[str, str]:
    """The fields of ``/proc/<pid>/status``, also of ``thread-self``; empty if there is no such process."""
    lines = read(f"/proc/{pid}/status").decode("utf-8", "replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def soft_limit(pid: int, name: str) -> int:
    """A soft limit of a process by its name in ``/proc/<pid>/limits``; -1 if there is none, or no such process."""
    for line in read(f"/proc/{pid}/limits").decode("ascii", "replace").splitlines():
        if line.startswith(name):
            value = line.removeprefix(name).split()[0]
            return int(value) if value.isdecimal() else -1
    return -1


def user(pid: int) -> int | None:
    """The effective user of a process; None if there is no such process."""
    ids = status(pid).get("Uid", "").split()
    return int(ids[1]) if len(ids) > 1 else None


def threads(pid: int) -> list[int]:
    """The threads of a process."""
    directory = f"/proc/{pid}/task"
    try:
        if os.stat(directory).st_nlink == _LINKS_OF_ONE_THREAD:
            return [pid]
        return [int(name) for name in os.listdir(directory)]
    except OSError:
        return []


def working_directory(pid: int) -> str:
    """The working directory of a process; empty if there is no such process, or we may not read that."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def outputs(pid: int) -> list[str]:
    """The files of a process's standard output and error, as far as we may read that."""
    found = []
    for number in (1, 2):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            continue
    return found


def children(pid: int) -> list[int]:
    """The direct children of a process, zombies included, whichever of its threads started them."""
    return [int(child) for thread in threads(pid) for child in read(f"/proc/{pid}/task/{thread}/children").split()]


class MainThreadsChildren:
    """Reads the children of this process's main thread: those that it started, and all inherited orphans.

    The kernel gives orphans to the main thread. The file is kept open, because it is read at every end of a process.
    """

    def __init__(self) -> None:
        self._descriptor = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> list[int]:
        """Their process ids, zombies included."""
        content = b""
        while chunk := os.pread(self._descriptor, _CHUNK, len(content)):
            content += chunk
        return [int(child) for child in content.split()]


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was executed with; None if it is not set."""
    start = os.fsencode(name) + b"="
    for entry in read(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(start):
            return os.fsdecode(entry[len(start) :])
    return None


def processes() -> list[int]:
    """All process ids, zombies included."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def processes_with(name: str, prefix: str) -> Iterator[tuple[int, str]]:
    """All processes that were executed with a variable whose value has this prefix, and the value."""
    start = os.fsencode(f"{name}={prefix}")
    for pid in processes():
        if start in read(f"/proc/{pid}/environ"):
            value = variable(pid, name)
            if value is not None and value.startswith(prefix):
                yield pid, value


def boot_id() -> str:
    """The id of this boot of the machine. Pids and start times are valid only within one boot."""
    return read("/proc/sys/kernel/random/boot_id").decode("ascii", "replace").strip()
