"""Limits of a process. It sets them for itself before it executes its program, and reports which took effect."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

from zeekfleet.model.launch import LaunchSpec, Resources
from zeekfleet.stem.preparation import reason_of

Effects = dict[str, str]
"""The limits that took effect, for a person: ``{"nice": "5", "memory": "104857600 bytes (RLIMIT_DATA)"}``."""


def cpus_of(spec: LaunchSpec) -> frozenset[int]:
    """The CPUs on which a node may run; empty for all."""
    return frozenset((spec.cpu_affinity,) if spec.cpu_affinity is not None else spec.resources.cpus)


def are_limited(wanted: Resources) -> bool:
    """Whether a process has to set limits for itself. CPUs do not count, since it is started on them."""
    return any(limit is not None for limit in (wanted.nice, wanted.open_files, wanted.core, wanted.memory))


def limit(wanted: Resources) -> Effects:
    """Set all limits of this process but the one of memory.

    If one is refused, the process goes on without it, and the effects say so.
    """
    effects: Effects = {}
    if (nice := wanted.nice) is not None:
        _try(effects, "nice", lambda: _nice(nice))
    if (files := wanted.open_files) is not None:
        _try(effects, "open_files", lambda: str(_limit(resource.RLIMIT_NOFILE, files)))
    if (core := wanted.core) is not None:
        _try(effects, "core", lambda: f"{_limit(resource.RLIMIT_CORE, core)} bytes")
    return effects


def allowed_memory(wanted: Resources, effects: Effects) -> int | None:
    """The limit for :func:`limit_memory`, in bytes.

    It is added to ``effects`` in advance, since nothing may need memory once it is set.
    """
    if wanted.memory is None:
        return None
    memory = _allowed(resource.RLIMIT_DATA, wanted.memory)
    effects["memory"] = f"{memory} bytes (RLIMIT_DATA)"
    return memory


def limit_memory(memory: int) -> Effects:
    """Limit this process's memory, soft and hard. Returns the effect if :func:`allowed_memory` told another one."""
    effects: Effects = {}
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    except (OSError, ValueError, OverflowError) as error:
        effects["memory"] = _refusal(error)
    return effects


def cpus_in_effect(pid: int) -> str:
    """The CPUs on which a process may run, for a person."""
    effects: Effects = {}
    _try(effects, "cpus", lambda: ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(pid))))
    return effects["cpus"]


def _nice(nice: int) -> str:
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    return str(os.getpriority(os.PRIO_PROCESS, 0))


def _limit(which: int, wanted: int) -> int:
    """Set a limit, soft and hard, as far as the present hard limit allows. Returns the new value."""
    value = _allowed(which, wanted)
    resource.setrlimit(which, (value, value))
    return value


def _allowed(which: int, wanted: int) -> int:
    _, hard = resource.getrlimit(which)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _try(effects: Effects, name: str, action: Callable[[], str]) -> None:
    try:
        effects[name] = action()
    except (OSError, ValueError, OverflowError) as error:
        effects[name] = _refusal(error)


def _refusal(error: Exception) -> str:
    return f"refused: {reason_of(error) if isinstance(error, OSError) else error}"
