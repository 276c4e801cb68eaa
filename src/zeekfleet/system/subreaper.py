"""A subreaper: orphans among its descendants become its children, instead of those of init (prctl(2))."""

from __future__ import annotations

import ctypes
import os

_PR_SET_CHILD_SUBREAPER = 36


def become() -> None:
    """Have this process be one.

    Raises:
        OSError: it cannot.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "prctl")
