"""Unix sockets at paths of any length.

The kernel takes 107 bytes of path in an address, and a state directory may be deeper.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """Another name for an existing socket or directory, ``/proc/self/fd/N``, while the context lasts.

    Raises:
        OSError: there is none.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
