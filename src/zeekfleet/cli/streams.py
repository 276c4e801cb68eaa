"""Handles standard streams that were closed before we began, or whose terminal is gone.

A verb does not fail because nobody reads its output: its exit code tells whether
the work was done.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TextIO


def open_missing() -> None:
    """Open the null device for standard streams that are closed.

    Python sets them to None, and the next file or socket that is opened would get their
    descriptors. ``sys.stdin`` stays None: there is nothing to read.
    """
    for descriptor, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            _occupy(descriptor)
    # With stderr None, print(file=sys.stderr) would write to standard output.
    sys.stdout = sys.stdout or _null()
    sys.stderr = sys.stderr or _null()


def write_out(text: str) -> None:
    """Write to standard output and flush it. It is no error if its terminal has gone away.

    Raises:
        OSError: the output is lost for another reason: a full disk, a pipe without a reader.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if not _is_lost_terminal(error):
            raise
        abandon(sys.stdout)


def write_error(text: str) -> None:
    """Write to stderr and flush it. It is no error if it is closed or its terminal has gone away."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Redirect a broken stream to the null device: else Python's flush at exit fails, which changes the exit code."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
    except (OSError, ValueError):
        return  # the stream has no descriptor, so its flush cannot fail
    os.close(null)


def _is_lost_terminal(error: OSError) -> bool:
    """Whether a write failed because the terminal is gone; a broken disk reports the same error number."""
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
