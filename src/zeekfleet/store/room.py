"""Whether there is room for a file: known before anything is begun that must be kept in the end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a system says that has no room left, be it on the disk or for this user."""

_CANNOT_TELL = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_NAME = ".room"


def take(directory: Path, size: int) -> None:
    """Take so many bytes of a directory's disk, and let go of them.

    A look at the free space would not tell of quotas, of blocks that only root may use, or of a disk
    that has become read-only.

    Raises:
        OSError: they are not to be had; ``errno`` in :data:`FULL` where there is no room.
    """
    path = directory / _NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        path.unlink(missing_ok=True)
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _CANNOT_TELL:
            raise
    finally:
        os.close(descriptor)
