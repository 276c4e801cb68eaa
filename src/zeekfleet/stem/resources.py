"""Limits of a process: put on it right after its start, and told as they took effect."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem.spawn import reason_of

Effects = dict[str, str]
"""What took effect, for a person: ``{"nice": "5", "memory": "104857600 bytes (RLIMIT_DATA)"}``."""


def apply(spec: LaunchSpec, pid: int, memory_is_limited: bool) -> Effects:
    """Limit a process that has just been started; what is refused is told, and does not hinder it.

    Args:
        spec: the node.
        pid: its process, a child of ours.
        memory_is_limited: its control group sees to its memory.
    """
    wanted = spec.resources
    effects: Effects = {}
    cpus = (spec.cpu_affinity,) if spec.cpu_affinity is not None else wanted.cpus
    if cpus:
        # Set before the start, by pinning ourselves; a process of a fork server pins itself.
        _try(effects, "cpus", lambda: ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(pid))))
    if (nice := wanted.nice) is not None:
        _try(effects, "nice", lambda: _nice(pid, nice))
    if (files := wanted.open_files) is not None:
        _try(effects, "open_files", lambda: str(_limit(pid, resource.RLIMIT_NOFILE, files)))
    if (core := wanted.core) is not None:
        _try(effects, "core", lambda: f"{_limit(pid, resource.RLIMIT_CORE, core)} bytes")
    if (memory := wanted.memory) is not None:
        if memory_is_limited:
            effects["memory"] = f"{memory} bytes (control group)"
        else:
            _try(effects, "memory", lambda: f"{_limit(pid, resource.RLIMIT_DATA, memory)} bytes (RLIMIT_DATA)")
    return effects


def pin(spec: LaunchSpec, pid: int) -> None:
    """Put a process of a fork server on its CPUs; ``apply`` tells what came of it."""
    if spec.cpu_affinity is None and spec.resources.cpus:
        try:
            os.sched_setaffinity(pid, spec.resources.cpus)
        except (OSError, ValueError, OverflowError):
            return


def _nice(pid: int, nice: int) -> str:
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    return str(os.getpriority(os.PRIO_PROCESS, pid))


def _limit(pid: int, which: int, wanted: int) -> int:
    """Set a limit, soft and hard, as far as the hard one allows; what it is now."""
    _, hard = resource.prlimit(pid, which)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.prlimit(pid, which, (value, value))
    return value


def _try(effects: Effects, name: str, action: Callable[[], str]) -> None:
    try:
        effects[name] = action()
    except (OSError, ValueError, OverflowError) as error:
        effects[name] = f"refused: {reason_of(error) if isinstance(error, OSError) else error}"
