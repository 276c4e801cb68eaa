"""The stem's socket in its state directory."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from zeekfleet.system.unix_sockets import short_path

SOCKET_NAME = "stem.sock"
LOCK_NAME = "stem.lock"


def listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, mode 0600; whatever lay there is replaced.

    Raises:
        OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)  # from the first moment on nobody else may connect
    try:
        with short_path(str(path.parent)) as directory:
            listener.bind(f"{directory}/{path.name}")
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.listen(16)
    return listener
