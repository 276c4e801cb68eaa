"""State directories: made, checked and held by one daemon at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from zeekfleet.errors import StateDirectoryError
from zeekfleet.settings import CommonSettings

LOCK = "daemon.lock"


def prepare(path: Path) -> Path:
    """Make the directory, for us alone, and see that it can be written.

    Raises:
        StateDirectoryError: it cannot.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateDirectoryError(path, error.strerror or str(error)) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StateDirectoryError(path, "not writable")
    return path


@contextlib.contextmanager
def held(path: Path) -> Iterator[Path]:
    """Hold the directory as its only daemon.

    Raises:
        StateDirectoryError: it cannot be used, or another daemon holds it.
    """
    prepare(path)
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirectoryError(path, error.strerror or str(error)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield path
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        holder = os.pread(lock, 32, 0).decode().strip()
        raise StateDirectoryError(path, f"another zeekfleet daemon holds it (pid {holder or 'unknown'})") from None
    finally:
        os.close(lock)


def node_directory(common: CommonSettings, name: str) -> Path:
    """Where a process of that name works: ``<state>/nodes/<name>`` (protocol section 13)."""
    return Path(common.state_dir) / "nodes" / name
