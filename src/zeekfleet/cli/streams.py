"""Standard streams that were closed before we began, or whose terminal has gone away.

Nobody being there to read is no reason for a verb to fail: its exit code still
tells whether the work was done.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TextIO


def open_missing() -> None:
    """Give standard streams that are closed the null device.

    Until then Python has None in their place, and the next file or socket that is
    opened would get their descriptors. ``sys.stdin`` stays None: there is nothing to read.
    """
    for descriptor, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            _occupy(descriptor)
    # A closed stderr that stayed None would make print() write to standard output.
    sys.stdout = sys.stdout or _null()
    sys.stderr = sys.stderr or _null()


def write_out(text: str) -> None:
    """Write to standard output, with all that was written before; a terminal that has gone away is nobody to tell.

    Raises:
        OSError: somebody should have got it and has not: a full disk, a pipe without a reader.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if not _is_lost_terminal(error):
            raise
        abandon(sys.stdout)


def write_error(text: str) -> None:
    """Write to stderr, at once; where it is closed, or its terminal has gone away, there is nobody to tell."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Let Python's own last flush of a standard stream succeed, whatever became of it: its exit code hangs on that."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
    except (OSError, ValueError):
        return  # there is nothing real to flush
    os.close(null)


def _is_lost_terminal(error: OSError) -> bool:
    """Whether a write failed for a terminal without its other end; a disk may say the same of itself."""
    try:
        return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _occupy(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, descriptor)
        if null != descriptor:
            os.close(null)


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - open for as long as the process lives
