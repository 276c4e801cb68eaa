"""Giving the head of a file back to the file system, while others go on appending to it (fallocate(2))."""

from __future__ import annotations

import ctypes
import errno
import os

ALIGNMENT = 64 * 1024
"""Parts that begin and end at multiples of this can be given back: no usual file system has larger blocks."""

UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What a file system says that cannot do such a thing, or not to this file."""

_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE_RANGE = 0x01, 0x02, 0x08
_FAR = 1 << 40
"""Further than any such file goes, and no further than any file system can have one."""
_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate64 if hasattr(_libc, "fallocate64") else _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch(descriptor: int, start: int, end: int) -> None:
    """Free what a part of the file takes; it reads as NULs from then on, and the size stays.

    Raises:
        OSError: it cannot be done.
    """
    _call(descriptor, _PUNCH_HOLE | _KEEP_SIZE, start, end - start)


def collapse(descriptor: int, end: int) -> None:
    """Take the first ``end`` bytes out of the file; what came after them becomes its beginning.

    Raises:
        OSError: it cannot be done.
    """
    _call(descriptor, _COLLAPSE_RANGE, 0, end)


def can_punch(descriptor: int) -> bool:
    """Whether parts of this file can be freed; tried far beyond its end."""
    try:
        punch(descriptor, _FAR, _FAR + ALIGNMENT)
    except OSError as error:
        return error.errno not in UNSUPPORTED
    return True


def first_data(descriptor: int, offset: int = 0) -> int:
    """Where data begins at or after an offset; the file's size if there is none."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return max(offset, os.fstat(descriptor).st_size)
        return offset  # no file system that can tell


def _call(descriptor: int, mode: int, offset: int, length: int) -> None:
    if _fallocate(descriptor, mode, offset, length) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
