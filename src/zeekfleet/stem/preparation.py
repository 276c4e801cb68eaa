"""Prepares what a program needs before it starts: its working directory, its files, and its open output files.

Its output goes straight to files. A pipe would need a reader, and the program would stop when that reader dies.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from errno import EAGAIN, ELOOP, EMFILE, ENFILE, ENOMEM
from pathlib import Path

import msgspec

from zeekfleet.errors import LaunchError, ShortageError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.system import privileges

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
SHORTAGES = frozenset({EAGAIN, EMFILE, ENFILE, ENOMEM})
"""Error numbers that mean that the system is short of a resource at the moment."""


class Outputs(msgspec.Struct):
    """A node's output files, open for it, and their sizes before it writes."""

    stdout: int
    stderr: int
    offsets: tuple[int, int]

    def close(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)


def reason_of(error: OSError) -> str:
    """The text of an operating system error, as part of a sentence."""
    text = "a symbolic link is not followed" if error.errno == ELOOP else error.strerror or str(error)
    return f"{text}: {os.fsdecode(error.filename)}" if error.filename else text


def failure(name: str, problem: Exception) -> LaunchError:
    """The :class:`LaunchError` for a problem that prevented a start."""
    if not isinstance(problem, OSError):
        return LaunchError(name, str(problem) or type(problem).__name__)
    kind = ShortageError if problem.errno in SHORTAGES else LaunchError
    return kind(name, reason_of(problem))


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


def prepare(spec: LaunchSpec, files: Mapping[str, str], nodes: str = "") -> Outputs:
    """Make the working directory, the files the node wants to find, and its output files.

    If the node runs as another user, this is done with that user's rights: in the user's directory, there may be links
    to where root should not write. Only a directory in ``nodes``, where that user cannot write, is made for it.

    Args:
        spec: the node.
        files: what it wants to find: by path, the content.
        nodes: the directory of the state directory with those of nodes.

    Raises:
        LaunchError: one of them cannot be made.
    """
    if spec.user is None:
        return _prepare(spec, files)
    try:
        if os.path.dirname(spec.directory) == nodes:
            privileges.make_directory(Path(spec.directory), DIRECTORY_MODE, spec.user)
        with privileges.acting_as(spec.user):
            return _prepare(spec, files)
    except OSError as error:
        raise failure(spec.name, error) from error


def _prepare(spec: LaunchSpec, files: Mapping[str, str]) -> Outputs:
    stdout = -1
    try:
        try:
            os.mkdir(spec.directory, DIRECTORY_MODE)
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(spec.directory, DIRECTORY_MODE, exist_ok=True)
        for name, content in files.items():
            _write_file(f"{spec.directory}/{name}", content)
        stdout = open_output(spec.stdout_file, spec.directory)
        stderr = open_output(spec.stderr_file, spec.directory)
        return Outputs(stdout, stderr, (os.fstat(stdout).st_size, os.fstat(stderr).st_size))
    except (OSError, ValueError) as error:  # ValueError: a path contains a NUL
        if stdout >= 0:
            os.close(stdout)
        raise failure(spec.name, error) from error


def _write_file(path: str, content: str) -> None:
    """Write a file. If it exists, it is replaced and not changed in place: a process may be reading it."""
    encoded = content.encode("utf-8", "surrogateescape")
    if _has(path, encoded):
        return
    directory, name = os.path.split(path)
    temporary = f"{directory}/.{name}.new"
    try:
        _write(temporary, encoded)
    except FileNotFoundError:
        os.makedirs(directory, DIRECTORY_MODE, exist_ok=True)
        _write(temporary, encoded)
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


def _write(path: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
    finally:
        os.close(descriptor)
