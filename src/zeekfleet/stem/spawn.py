"""Starts a program: own session, nothing inherited, output straight to its files.

No code of ours runs between fork and execution (``subprocess`` takes its vfork
path), so that a start costs the same however large this process is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec

MARK_VARIABLE = "ZEEKFLEET_LAUNCH"
"""The one variable added to a node's environment: by it, processes that left its session are known as its own."""

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


def reason_of(error: OSError) -> str:
    """An operating system error as part of a sentence."""
    text = error.strerror or str(error)
    return f"{text}: {os.fsdecode(error.filename)}" if error.filename else text


def open_output(path: str) -> int:
    """A descriptor that appends to ``path``; the file and its directory are made if missing.

    Raises:
        OSError: it cannot be opened.
    """
    Path(path).parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    # Without O_NONBLOCK, a named pipe that nobody reads would stop the whole loop here.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    descriptor = os.open(path, flags, FILE_MODE)
    os.set_blocking(descriptor, True)
    return descriptor


def size_of(path: str) -> int:
    """A file's size in bytes, 0 if it is not there."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def prepare(spec: LaunchSpec, files: Mapping[str, str]) -> None:
    """Make the working directory, the output files and the files the node wants to find.

    Raises:
        LaunchError: one of them cannot be made.
    """
    try:
        directory = Path(spec.directory)
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        for name, content in files.items():
            _write_file(directory / name, content)
        for path in (spec.stdout_file, spec.stderr_file):
            os.close(open_output(path))
    except OSError as error:
        raise LaunchError(spec.name, reason_of(error)) from error


def execute(spec: LaunchSpec, mark: str) -> int:
    """Start ``spec.argv`` and return its process id; the caller reaps it.

    Raises:
        LaunchError: the program is missing, or the system refuses.
    """
    stdout = stderr = -1
    try:
        stdout = open_output(spec.stdout_file)
        stderr = open_output(spec.stderr_file)
        with _pinned(spec.cpu_affinity):
            process = subprocess.Popen(
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=spec.directory,
                env={**spec.env, MARK_VARIABLE: mark},
                close_fds=True,
                restore_signals=True,
                start_new_session=True,
            )
    except OSError as error:
        raise LaunchError(spec.name, reason_of(error)) from error
    except (ValueError, subprocess.SubprocessError) as error:
        raise LaunchError(spec.name, str(error)) from error
    finally:
        for descriptor in (stdout, stderr):
            if descriptor >= 0:
                os.close(descriptor)
    # The stem reaps by itself: told so, the object neither waits nor takes the exit status away.
    process.returncode = 0
    return process.pid


def _write_file(path: Path, content: str) -> None:
    """Write a file whole or not at all: the process it is for may be reading the old one."""
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    encoded = content.encode("utf-8", "surrogateescape")
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(encoded)
    temporary.replace(path)


@contextmanager
def _pinned(cpu: int | None) -> Iterator[None]:
    """This process on one CPU, so that the child is born there; it has one thread only."""
    if cpu is None:
        yield
        return
    if cpu < 0:
        raise ValueError(f"CPU {cpu} does not exist")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
    except (OSError, OverflowError) as error:
        raise ValueError(f"CPU {cpu} to pin to is offline or absent") from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
