"""Unix sockets at paths of any length.

The kernel takes 107 bytes of path in an address; a state directory may be deeper.
``/proc/self/fd/<open directory>/<name>`` names the same socket in few.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET_NAME = "stem.sock"
LOCK_NAME = "stem.lock"


@contextmanager
def _short_path(path: Path) -> Iterator[str]:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, mode 0600; whatever lay there is replaced.

    Raises:
        OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # The mode must be right from the first instant, and only the mask can see to that.
    mask = os.umask(0o177)
    try:
        with _short_path(path) as short:
            listener.bind(short)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.listen(16)
    return listener


def connect(path: Path) -> socket.socket:
    """A connection to the socket at ``path``.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(path) as short:
            connection.connect(short)
    except OSError:
        connection.close()
        raise
    return connection


def peer_user(connection: socket.socket) -> int:
    """The user id of the process at the other end."""
    return _peer(connection)[1]


def peer_process(connection: socket.socket) -> int:
    """The process id of the process at the other end."""
    return _peer(connection)[0]


def _peer(connection: socket.socket) -> tuple[int, int]:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _ = struct.unpack("3i", credentials)
    return int(pid), int(user)
