"""A descriptor that tells of a signal, which itself interrupts nothing (``signalfd(2)``)."""

from __future__ import annotations

import contextlib
import ctypes
import os

_NONBLOCK_AND_CLOSE = os.O_NONBLOCK | os.O_CLOEXEC
_SET_SIZE = 128
_RECORDS = 128 * 16


def open_for(number: int) -> int:
    """A descriptor that is readable once the signal, which the caller has blocked, has come.

    Raises:
        OSError: there can be none.
    """
    library = ctypes.CDLL(None, use_errno=True)
    signals = (ctypes.c_char * _SET_SIZE)()
    library.sigemptyset(signals)
    library.sigaddset(signals, number)
    descriptor = int(library.signalfd(-1, signals, _NONBLOCK_AND_CLOSE))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "signalfd")
    return descriptor


def drain(descriptor: int) -> None:
    """Make it unreadable until the signal comes again."""
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, _RECORDS)
