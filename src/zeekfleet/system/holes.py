"""Frees the head of a file while other processes append to it (fallocate(2))."""

from __future__ import annotations

import ctypes
import errno
import os

ALIGNMENT = 64 * 1024
"""Parts that begin and end at multiples of this can be freed: no common file system has larger blocks."""

UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""The errors that mean that the file system cannot do this, or not with this file."""

_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE_RANGE = 0x01, 0x02, 0x08
_FAR = 1 << 40
"""An offset beyond the end of any output file, but within what every file system allows."""
_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate64 if hasattr(_libc, "fallocate64") else _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch(descriptor: int, start: int, end: int) -> None:
    """Free the room of a part of the file. It reads as NULs from then on; the size of the file stays.

    Raises:
        OSError: it cannot be done.
    """
    _call(descriptor, _PUNCH_HOLE | _KEEP_SIZE, start, end - start)


def collapse(descriptor: int, end: int) -> None:
    """Remove the first ``end`` bytes. The file then begins with the bytes that followed.

    Raises:
        OSError: it cannot be done.
    """
    _call(descriptor, _COLLAPSE_RANGE, 0, end)


def can_punch(descriptor: int) -> bool:
    """Whether parts of this file can be freed. This tries it far beyond its end, where it changes nothing."""
    try:
        punch(descriptor, _FAR, _FAR + ALIGNMENT)
    except OSError as error:
        return error.errno not in UNSUPPORTED
    return True


def first_data(descriptor: int, offset: int = 0) -> int:
    """The offset of the first data at or after ``offset``; the file's size if there is none."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return max(offset, os.fstat(descriptor).st_size)
        return offset  # this file system cannot tell


def _call(descriptor: int, mode: int, offset: int, length: int) -> None:
    if _fallocate(descriptor, mode, offset, length) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
