"""Finds the core file of a crashed process, and has gdb print its backtrace."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

from zeekfleet.system.privileges import Ids, command_as

DEBUGGER_TIMEOUT = 30.0
"""Seconds. A large core on a slow disk may need them, and nothing waits for the backtrace."""

LARGEST_BACKTRACE = 1024 * 1024
_PATTERN = Path("/proc/sys/kernel/core_pattern")


def find_core(directory: Path, pid: int, since: float) -> Path | None:
    """The core that a process left, in its working directory or where ``core_pattern`` puts it; None if there is none.

    Args:
        directory: its working directory.
        pid: its process id.
        since: the Unix time when it started: older cores are of other processes.
    """
    try:
        pattern = _PATTERN.read_text().strip()
    except OSError:
        return None
    if not pattern or pattern.startswith("|"):
        return None
    where = directory / pattern.replace("%%", "%").replace("%p", str(pid)).replace("%P", str(pid))
    glob = _wildcards(where.name)
    found = [
        path for name in (glob, f"{glob}.{pid}") for path in _matches(where.parent, name) if _is_later(path, since)
    ]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def backtrace(program: str, core: Path, user: Ids | None = None) -> str:
    """The backtraces of all threads; the reason if gdb fails; empty if there is no gdb.

    Args:
        program: what left the core.
        core: the core.
        user: whom the program ran as, if not as we do. So does gdb, which was not made for cores that somebody forged.
    """
    debugger = which("gdb")
    if debugger is None:
        return ""
    command = [debugger, "-batch", "-nx", "-ex", "thread apply all backtrace", program, str(core)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEBUGGER_TIMEOUT,
            check=False,
            **command_as(user),
        )
    except subprocess.TimeoutExpired:
        return f"the debugger was not done after {DEBUGGER_TIMEOUT:g} s\n"
    except OSError as error:
        return f"the debugger could not be started: {error.strerror}\n"
    return (done.stdout + done.stderr)[:LARGEST_BACKTRACE].decode("utf-8", "replace")


def _wildcards(name: str) -> str:
    """``core_pattern`` as a glob: each ``%`` specifier becomes ``*``."""
    text, rest = "", iter(name)
    for character in rest:
        if character == "%":
            next(rest, None)
            text += "*"
        else:
            text += f"[{character}]" if character in "[?*" else character
    return text


def _matches(directory: Path, glob: str) -> list[Path]:
    try:
        return [path for path in directory.glob(glob) if path.is_file()]
    except (OSError, ValueError):
        return []


def _is_later(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since - 1
    except OSError:
        return False
