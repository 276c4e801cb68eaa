"""What ``/proc`` tells about processes, read without other libraries."""

from __future__ import annotations

import os
from pathlib import Path


def _stat_fields(pid: int) -> list[bytes]:
    """The fields of ``/proc/<pid>/stat`` from the third on; empty if there is no such process."""
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    # The second field is the program's name in parentheses and may hold anything, parentheses included.
    return content[content.rfind(b")") + 2 :].split()


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def process_group(pid: int) -> int | None:
    """The process's group; None if there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[2]) if fields else None


def children(pid: int) -> list[int]:
    """The direct children of a single-threaded process, zombies included."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    except OSError:
        return []


def has_environment(pid: int, entry: str) -> bool:
    """Whether the environment that the process was executed with holds ``entry`` (``NAME=value``)."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(entry) in content.split(b"\0")


def boot_id() -> str:
    """A name for the time since the machine booted: pids and start times of another one mean nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
