"""Prepares what a program needs before it starts: its working directory, its files, and its open output files.

Its output goes straight to files. A pipe would need a reader, and the program would stop when that reader dies.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from errno import EAGAIN, ELOOP, EMFILE, ENFILE, ENOMEM
from pathlib import Path

import msgspec

from zeekfleet.errors import LaunchError, ShortageError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.system import node_files, privileges
from zeekfleet.system.node_files import DIRECTORY_MODE

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
            node_files.write(f"{spec.directory}/{name}", content)
        stdout = node_files.open_output(spec.stdout_file, spec.directory)
        stderr = node_files.open_output(spec.stderr_file, spec.directory)
        return Outputs(stdout, stderr, (os.fstat(stdout).st_size, os.fstat(stderr).st_size))
    except (OSError, ValueError) as error:  # ValueError: a path contains a NUL
        if stdout >= 0:
            os.close(stdout)
        raise failure(spec.name, error) from error
