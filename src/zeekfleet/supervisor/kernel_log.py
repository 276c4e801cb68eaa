"""Whether the kernel killed a process for want of memory, as its own log tells.

Records are ``priority,sequence,microseconds,flags;text``. Their clock is that of the
processor: it stands still while the machine sleeps, and nothing sets it right, so that
it goes wrong by seconds in a day.
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
"""Of all time since boot: what that clock may be off."""

_SLACK = 1.0
_FIRST_NAMES = "pid:[4026531836]"
"""Process ids in the log are those of the first namespace, which has this number on every machine."""

_KILLED = re.compile(
    # Names of processes and groups can hold anything: what counts stands before them here, and behind them there.
    rb"(?:[\w .()]+: )?Killed process (?P<killed>\d+) \(|oom-kill:.*,pid=(?P<chosen>\d+),uid=\d+\s*$"
)


def killed_for_memory(pid: int, since: float) -> bool | None:
    """Whether the log says so; None if it cannot be read, or speaks of other process ids than ours.

    Args:
        pid: the process.
        since: its start, in seconds since boot: an earlier process may have had its id.
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
    """The process that a record says to be killed for want of memory."""
    head, _, text = record.partition(b";")
    priority = head.partition(b",")[0]
    # Of other facilities than the kernel's (0) is what other processes have written there.
    if not priority.isdigit() or int(priority) >> 3 != 0:
        return None
    found = _KILLED.match(text.partition(b"\n")[0])
    return int(found["killed"] or found["chosen"]) if found else None


def time_of(record: bytes) -> float:
    """When a record was written, in seconds on the log's clock; 0 if it does not say."""
    fields = record.split(b",", 3)
    return int(fields[2]) / _MICROSECONDS if len(fields) == 4 and fields[2].isdigit() else 0.0


def _on_log_clock(since: float) -> float:
    """The least that the log's clock can have shown at a time since boot."""
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
