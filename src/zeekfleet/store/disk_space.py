"""Finds out whether a disk has room for a number of bytes, before work begins whose result must be stored there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors that mean that there is no room left, on the disk or within this user's quota."""

_NOT_SUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""The errors of a file system that cannot allocate in advance."""

_NAME = ".room"


def try_allocation(directory: Path, size: int) -> None:
    """Allocate ``size`` bytes on a directory's disk, and free them again.

    Free space alone would not tell of quotas, of blocks that only root may use, or of a disk that has become
    read-only.

    Raises:
        OSError: they cannot be allocated; ``errno`` is in :data:`NO_SPACE` where there is no room.
    """
    path = directory / _NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        path.unlink(missing_ok=True)
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)
