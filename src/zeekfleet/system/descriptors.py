"""How many descriptors this process may have, and when few are left."""

from __future__ import annotations

import contextlib
import errno
import resource

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What the kernel says where no further descriptor can be had."""

RESERVE = 64
"""Descriptors that are kept from connections, for our own files, pipes and processes; of a low limit, a quarter."""


def raise_limit() -> None:
    """Take as many as we may have; children get the same limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # the system may allow fewer than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit() -> int:
    """How many we may have at present."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def is_of_the_reserve(descriptor: int) -> bool:
    """Whether this one is among the last; the kernel hands out the lowest that is free."""
    allowed = limit()
    return allowed != resource.RLIM_INFINITY and descriptor >= allowed - min(RESERVE, allowed // 4)
