"""Unix sockets at paths of any length.

The kernel accepts paths of at most 107 bytes. With a descriptor of the directory (or, to
connect, of the socket itself), ``/proc/self/fd/N`` is a short path for any of them.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
from pathlib import Path

from zeekfleet.system.unix_sockets import short_path

SCHEME = "unix:"
MODE = 0o600


def bind(path: str) -> socket.socket:
    """A listening socket at ``path``, mode 0600; a stale one is replaced.

    It is made under another name and then renamed. So nobody can see it with
    other permissions, and there is always a socket at the path.

    Raises:
        OSError: the path cannot be used; somebody listens there, or it is no socket.
    """
    _refuse_taken(path)
    directory = os.open(str(Path(path).parent), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        temporary = Path(f"/proc/self/fd/{directory}/.{secrets.token_hex(8)}")
        listening.bind(str(temporary))
        try:
            temporary.chmod(MODE)
            listening.listen(socket.SOMAXCONN)
            listening.setblocking(False)
            temporary.rename(path)
        except OSError:
            temporary.unlink()
            raise
    except OSError:
        listening.close()
        raise
    finally:
        os.close(directory)
    return listening


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a socket file, to recognize whether another one has replaced it; None if it is missing."""
    try:
        found = Path(path).lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: str, expected: tuple[int, int] | None) -> None:
    """Remove the socket file if it is still the one we made."""
    if expected is not None and identity(path) == expected:
        Path(path).unlink(missing_ok=True)


def _refuse_taken(path: str) -> None:
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError("a file that is no socket is in the way")
    with short_path(path) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            return
    raise FileExistsError("somebody listens there already")
