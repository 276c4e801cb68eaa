"""A descriptor that becomes readable when a signal comes, so that the signal interrupts nothing (``signalfd(2)``)."""

from __future__ import annotations

import contextlib
import ctypes
import os

_NONBLOCK_AND_CLOSE = os.O_NONBLOCK | os.O_CLOEXEC
_SET_SIZE = 128
_RECORDS = 128 * 16


def open_for(number: int) -> int:
    """A descriptor that becomes readable when the signal comes. The caller must have blocked the signal.

    Raises:
        OSError: it cannot be opened.
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
    """Read all signals, so that the descriptor is not readable until the next one comes."""
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, _RECORDS)
