"""State directories: makes and checks them, and locks them so that only one daemon uses each."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from zeekfleet.errors import DirectoryHeldError, SettingsError, StateDirectoryError
from zeekfleet.model.names import DAEMON_LOCK, NODES, name_problem
from zeekfleet.settings import CommonSettings
from zeekfleet.system.exposure import state_directory_problem
from zeekfleet.system.files import open_own
from zeekfleet.system.privileges import Owner, owner_of

LOCK = DAEMON_LOCK
SETTINGS_FILE = "settings.json"
"""In the directory of an agent or controller: the settings that its supervisor started it with."""

DATABASE = "controller.sqlite"
"""In a controller's directory."""


def prepare(path: Path, below: Path | None = None) -> Path:
    """Make the directory, accessible only for our user, and check that we can write to it and that nobody else can.

    Args:
        path: the directory. Unless ``below`` is given, it may be a symbolic link; what it leads to counts.
        below: a directory above it that is ours, too. Missing directories from there on are made with mode 0700. None
            of them may be a symbolic link, except ``below`` itself.

    Raises:
        StateDirectoryError: it cannot be made or used.
    """
    try:
        for ours in [*_between(below, path), path]:
            ours.mkdir(mode=0o700, parents=True, exist_ok=True)
            if below not in (None, ours) and ours.is_symlink():
                raise StateDirectoryError(ours, "it is a symbolic link, expected a directory")
            if problem := state_directory_problem(ours):
                raise StateDirectoryError(ours, problem)
    except OSError as error:
        raise StateDirectoryError(path, error.strerror or str(error)) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StateDirectoryError(path, "not writable")
    return path


def _between(below: Path | None, path: Path) -> list[Path]:
    """``below`` and the directories between it and the path, from the top."""
    return [one for one in reversed(path.parents) if below is not None and one.is_relative_to(below)]


@contextlib.contextmanager
def held(path: Path, below: Path | None = None) -> Iterator[Path]:
    """Prepare the directory as :func:`prepare` does, and keep its lock while the context lasts.

    Raises:
        DirectoryHeldError: another daemon holds it.
        StateDirectoryError: it cannot be used.
    """
    prepare(path, below)
    try:
        lock = open_own(path / LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StateDirectoryError(path, f"{LOCK}: {error.strerror or error}") from None
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
    """Write our pid into the lock file, so that an error can name it. A full disk does not matter: the lock counts."""
    signature = f"{os.getpid()}\n".encode()
    with contextlib.suppress(OSError):
        # Overwrite before truncating: this needs no new room on the disk.
        os.ftruncate(lock, os.pwrite(lock, signature, 0))


def check_name(key: str, name: str) -> None:
    """Check that a name can be part of a directory, a topic and log files.

    Raises:
        SettingsError: it cannot.
    """
    if problem := name_problem(name):
        raise SettingsError(key, f"the name {name[:200]!r} {problem}")


def node_directory(common: CommonSettings, name: str) -> Path:
    """The working directory of a process of that name: ``<state>/nodes/<name>`` (docs/protocol.md, section 13)."""
    return Path(common.state_dir) / NODES / name


def daemon_directories(state: Path, file: str) -> list[Path]:
    """The directories of agents and controllers in a state directory that have this file, sorted.

    Directories of another user are those of nodes. They may have any file: it was not made by a daemon.
    """
    nodes = state / NODES
    owner = owner_of(nodes)
    found = (path.parent for path in nodes.glob(f"*/{file}"))
    return sorted(path for path in found if not path.is_symlink() and _uid(owner_of(path)) == _uid(owner))


def _uid(owner: Owner | None) -> int | None:
    return None if owner is None else owner.uid
