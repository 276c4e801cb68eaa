"""The limit of open descriptors of this process, and whether few are left."""

from __future__ import annotations

import contextlib
import errno
import resource

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The errors that mean that no further descriptor can be opened."""

RESERVE = 64
"""Descriptors that connections may not use: they are for our own files, pipes and processes. At most a quarter."""


def raise_limit() -> None:
    """Raise the soft limit to the hard limit. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # the kernel's own maximum may be lower than the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit() -> int:
    """The present soft limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def is_of_the_reserve(descriptor: int) -> bool:
    """Whether this descriptor is one of the reserve. The kernel gives the lowest free number, so then few are left."""
    allowed = limit()
    return allowed != resource.RLIM_INFINITY and descriptor >= allowed - min(RESERVE, allowed // 4)
