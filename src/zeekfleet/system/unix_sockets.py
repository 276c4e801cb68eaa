"""Unix sockets: paths of any length, and the process at the other end.

An address has room for a path of 107 bytes, and the path of a state directory may be longer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

TYPE_CHECKING = False  # defined here, because importing ``typing`` takes time; type checkers know the name
if TYPE_CHECKING:
    from pathlib import Path  # simulated nodes, which import this, start without it


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """A short path of an existing socket or directory, ``/proc/self/fd/N``, while the context lasts.

    Raises:
        OSError: the path does not exist, or cannot be opened.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def unix_peer(connection: socket.socket) -> tuple[int, int]:
    """The pid and user id at the other end of a Unix socket, as they were when it connected."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _ = struct.unpack("3i", credentials)
    return pid, user


def connect(path: Path) -> socket.socket:
    """A connection to the socket at ``path``.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(str(path)) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
