"""Files in a node's directory: written without following links, which the node's user could make there."""

from __future__ import annotations

import os
import stat

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


def open_output(path: str, directory: str = "") -> int:
    """A descriptor that appends to ``path``; the file and its directory are made if missing.

    Args:
        path: the file. A symbolic link is followed, except in ``directory``.
        directory: the node's.

    Raises:
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a named pipe that nobody reads would block the whole loop.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    if os.path.dirname(path) == directory:
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, FILE_MODE)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), DIRECTORY_MODE, exist_ok=True)
        descriptor = os.open(path, flags, FILE_MODE)
    os.set_blocking(descriptor, True)
    return descriptor


def size_of(path: str) -> int:
    """A file's size in bytes, 0 if it is not there."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def write(path: str, content: str) -> None:
    """Write a file. If it exists, it is replaced and not changed in place: a process may be reading it."""
    encoded = content.encode("utf-8", "surrogateescape")
    if _has(path, encoded):
        return
    directory, name = os.path.split(path)
    temporary = f"{directory}/.{name}.new"
    try:
        _write_new(temporary, encoded)
    except FileNotFoundError:
        os.makedirs(directory, DIRECTORY_MODE, exist_ok=True)
        _write_new(temporary, encoded)
    os.rename(temporary, path)


def _has(path: str, content: bytes) -> bool:
    """Whether a file already has this content: to compare takes less time than to write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        if status.st_size != len(content) or status.st_mode != stat.S_IFREG | FILE_MODE:
            return False
        return os.read(descriptor, len(content) + 1) == content
    finally:
        os.close(descriptor)


def _write_new(path: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
    finally:
        os.close(descriptor)
