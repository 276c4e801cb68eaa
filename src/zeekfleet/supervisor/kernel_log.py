"""Whether the kernel killed a process because memory ran out, according to the kernel's log (``/dev/kmsg``).

Records are ``priority,sequence,microseconds,flags;text``. Their times come from the processor's clock. It stops while
the machine sleeps, and nothing corrects it, so that it is off by seconds after a day.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

_RECORD = 8192
_MOST_RECORDS = 100_000
_MICROSECONDS = 1_000_000
_DRIFT = 5e-4
"""How far that clock may be off, as a fraction of the time since boot."""

_SLACK = 1.0
_FIRST_NAMES = "pid:[4026531836]"
"""The first pid namespace, which has this number on every machine. The log has the pids of that namespace."""

_KILLED = re.compile(
    # Names of processes and groups may contain any text. So take the pid from before the name in the first form, and
    # from after the name, at the end of the line, in the second.
    rb"(?:[\w .()]+: )?Killed process (?P<killed>\d+) \(|oom-kill:.*,pid=(?P<chosen>\d+),uid=\d+\s*$"
)


def killed_for_memory(pid: int, since: float) -> bool | None:
    """Whether the log says so; None if it cannot be read, or its pids are not of our namespace.

    Args:
        pid: the process.
        since: its start, in seconds since boot. Older records may be of an earlier process with the same pid.
    """
    try:
        if str(Path("/proc/self/ns/pid").readlink()) != _FIRST_NAMES:
            return None
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    earliest = _on_log_clock(since)
    try:
        for _ in range(_MOST_RECORDS):
            record = _next(log)
            if record is None:
                return False
            if victim_of(record) == pid and time_of(record) >= earliest:
                return True
        return False
    finally:
        os.close(log)


def victim_of(record: bytes) -> int | None:
    """The pid of the process that was killed because memory ran out, if a record tells of that."""
    head, _, text = record.partition(b";")
    priority = head.partition(b",")[0]
    # Facility 0 is the kernel; records of other facilities were written by processes, which could claim anything.
    if not priority.isdigit() or int(priority) >> 3 != 0:
        return None
    found = _KILLED.match(text.partition(b"\n")[0])
    return int(found["killed"] or found["chosen"]) if found else None


def time_of(record: bytes) -> float:
    """When a record was written, in seconds on the log's clock; 0 if it does not say."""
    fields = record.split(b",", 3)
    return int(fields[2]) / _MICROSECONDS if len(fields) == 4 and fields[2].isdigit() else 0.0


def _on_log_clock(since: float) -> float:
    """The earliest that the log's clock can have shown at a time since boot."""
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - now
    return since - asleep - now * _DRIFT - _SLACK


def _next(log: int) -> bytes | None:
    while True:
        try:
            return os.read(log, _RECORD)
        except BrokenPipeError:
            continue  # the oldest records have just been overwritten
        except OSError:
            return None
