"""Pins threads to CPUs. A process that a pinned thread starts is pinned, too."""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager


@contextmanager
def pinned(cpus: Set[int]) -> Iterator[None]:
    """Pin this thread to some CPUs while the context lasts. Children that it starts stay pinned.

    Raises:
        ValueError: one of them does not exist, is offline, or is not ours to use.
    """
    names = ", ".join(str(cpu) for cpu in sorted(cpus))
    if min(cpus) < 0:
        raise ValueError(f"CPU {names} does not exist")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, OverflowError) as error:
        raise ValueError(f"CPU {names} to pin to is offline or absent") from error
    try:
        if missing := cpus - os.sched_getaffinity(0):
            raise ValueError(f"CPU {', '.join(map(str, sorted(missing)))} to pin to is offline or absent")
        yield
    finally:
        os.sched_setaffinity(0, before)


def can_pin(cpu: int) -> bool:
    """Whether a thread can be bound to this CPU. Tries it with the calling thread."""
    try:
        with pinned({cpu}):
            return True
    except ValueError:
        return False
