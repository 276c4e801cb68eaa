"""State directories: made, checked and held by one daemon at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from zeekfleet.errors import DirectoryHeldError, SettingsError, StateDirectoryError
from zeekfleet.model.names import DAEMON_LOCK, NODES, name_problem
from zeekfleet.settings import CommonSettings

LOCK = DAEMON_LOCK
SETTINGS_FILE = "settings.json"
"""In the directory of an agent or controller below a supervisor: what it was started with."""

DATABASE = "controller.sqlite"
"""In a controller's directory."""


def prepare(path: Path, below: Path | None = None) -> Path:
    """Make the directory, for us alone, and see that it can be written.

    Args:
        path: the directory.
        below: one above it that is ours, too: what is missing from there on is made for us alone.

    Raises:
        StateDirectoryError: it cannot.
    """
    try:
        for ours in [one for one in reversed(path.parents) if below is not None and one.is_relative_to(below)]:
            ours.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateDirectoryError(path, error.strerror or str(error)) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StateDirectoryError(path, "not writable")
    return path


@contextlib.contextmanager
def held(path: Path, below: Path | None = None) -> Iterator[Path]:
    """Hold the directory as its only daemon; it is made as :func:`prepare` makes it.

    Raises:
        DirectoryHeldError: another daemon holds it.
        StateDirectoryError: it cannot be used.
    """
    prepare(path, below)
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirectoryError(path, error.strerror or str(error)) from None
    try:
        _lock(path, lock)
        yield path
    finally:
        os.close(lock)


def _lock(path: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sign(lock)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        raise DirectoryHeldError(path, int(holder) if holder.isdecimal() else None) from None
    except OSError as error:
        raise StateDirectoryError(path, error.strerror or str(error)) from None


def _sign(lock: int) -> None:
    """Write down who holds it, for people; a full disk is no reason to let go."""
    signature = f"{os.getpid()}\n".encode()
    with contextlib.suppress(OSError):
        # Over the former one, whose room is ours.
        os.ftruncate(lock, os.pwrite(lock, signature, 0))


def check_name(key: str, name: str) -> None:
    """See that a process of that name can have a directory, a topic and log files.

    Raises:
        SettingsError: it cannot.
    """
    if problem := name_problem(name):
        raise SettingsError(key, f"the name {name[:200]!r} {problem}")


def node_directory(common: CommonSettings, name: str) -> Path:
    """Where a process of that name works: ``<state>/nodes/<name>`` (docs/protocol.md, section 13)."""
    return Path(common.state_dir) / NODES / name
