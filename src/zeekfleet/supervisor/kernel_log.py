"""Whether the kernel killed a process for want of memory, as its own log tells."""

from __future__ import annotations

import os

_RECORD = 8192
_MOST_RECORDS = 100_000
_MICROSECONDS = 1_000_000


def killed_for_memory(pid: int, since: float) -> bool:
    """Whether the log says so; False also where we may not read it.

    Args:
        pid: the process.
        since: its start, in seconds since boot: an earlier process may have had its id.
    """
    words = f"Killed process {pid} (".encode()
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        for _ in range(_MOST_RECORDS):
            record = _next(log)
            if record is None:
                return False
            if words in record and _time_of(record) >= since - 1:
                return True
        return False
    finally:
        os.close(log)


def _next(log: int) -> bytes | None:
    while True:
        try:
            return os.read(log, _RECORD)
        except BrokenPipeError:
            continue  # the oldest records have just been overwritten
        except OSError:
            return None


def _time_of(record: bytes) -> float:
    """``priority,sequence,microseconds,flags;text``."""
    fields = record.split(b",", 3)
    return int(fields[2]) / _MICROSECONDS if len(fields) == 4 and fields[2].isdigit() else 0.0
