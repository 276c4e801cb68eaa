"""Starts a program: own session, nothing inherited, output straight to its files.

No code of ours runs between fork and execution (``posix_spawn`` shares memory with
its child until then), so that a start costs the same however large this process is.
Every descriptor of the stem is closed on execution; nothing else has to be closed.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from errno import EAGAIN, EMFILE, ENFILE, ENOENT, ENOMEM
from shutil import which

import msgspec

from zeekfleet.errors import LaunchError, ShortageError
from zeekfleet.model.launch import LaunchSpec

MARK_VARIABLE = "ZEEKFLEET_LAUNCH"
"""The one variable added to a node's environment: by it, processes that left its session are known as its own."""

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
DEFAULT_SIGNALS = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
SHORTAGES = frozenset({EAGAIN, EMFILE, ENFILE, ENOMEM})
"""What a system says that is short of something for the moment."""


_MOST_FOUND = 1000
_found: dict[tuple[str, str], str] = {}
"""Where programs were found, by name and PATH."""


class Outputs(msgspec.Struct):
    """A node's output files, open for it, and their sizes before it writes."""

    stdout: int
    stderr: int
    offsets: tuple[int, int]

    def close(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)


def reason_of(error: OSError) -> str:
    """An operating system error as part of a sentence."""
    text = error.strerror or str(error)
    return f"{text}: {os.fsdecode(error.filename)}" if error.filename else text


def failure(name: str, error: OSError, prefix: str = "") -> LaunchError:
    """What a launch fails with."""
    kind = ShortageError if error.errno in SHORTAGES else LaunchError
    return kind(name, prefix + reason_of(error))


def open_output(path: str) -> int:
    """A descriptor that appends to ``path``; the file and its directory are made if missing.

    Raises:
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, a named pipe that nobody reads would stop the whole loop here.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, FILE_MODE)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), DIRECTORY_MODE, exist_ok=True)  # noqa: PTH103, PTH120 - quick
        descriptor = os.open(path, flags, FILE_MODE)
    os.set_blocking(descriptor, True)
    return descriptor


def size_of(path: str) -> int:
    """A file's size in bytes, 0 if it is not there."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0


def prepare(spec: LaunchSpec, files: Mapping[str, str]) -> Outputs:
    """Make the working directory, the files the node wants to find, and its output files.

    Raises:
        LaunchError: one of them cannot be made.
    """
    stdout = -1
    try:
        try:
            os.mkdir(spec.directory, DIRECTORY_MODE)  # noqa: PTH102
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(spec.directory, DIRECTORY_MODE, exist_ok=True)  # noqa: PTH103
        for name, content in files.items():
            _write_file(f"{spec.directory}/{name}", content)
        stdout = open_output(spec.stdout_file)
        stderr = open_output(spec.stderr_file)
        return Outputs(stdout, stderr, (os.fstat(stdout).st_size, os.fstat(stderr).st_size))
    except OSError as error:
        if stdout >= 0:
            os.close(stdout)
        raise failure(spec.name, error) from error
    except ValueError as error:  # a NUL in a path
        if stdout >= 0:
            os.close(stdout)
        raise LaunchError(spec.name, str(error)) from error


Start = Callable[[str, tuple[str, ...], dict[str, str], Outputs], int]
"""Starts a program as a child, in this process's working directory; raises OSError."""


def start_plain(program: str, argv: tuple[str, ...], env: dict[str, str], outputs: Outputs) -> int:
    """Start without a control group."""
    return spawn(program, argv, env, {1: outputs.stdout, 2: outputs.stderr})


def execute(spec: LaunchSpec, mark: str, outputs: Outputs, start: Start = start_plain) -> int:
    """Start ``spec.argv`` and return its process id; the caller reaps it.

    Raises:
        LaunchError: the program is missing, or the system refuses.
    """
    try:
        program = _program(spec)
        cpus = {spec.cpu_affinity} if spec.cpu_affinity is not None else set(spec.resources.cpus)
        with _pinned(cpus), _within(spec.directory):
            return start(program, spec.argv, {**spec.env, MARK_VARIABLE: mark}, outputs)
    except OSError as error:
        raise failure(spec.name, error) from error
    except ValueError as error:
        raise LaunchError(spec.name, str(error)) from error


def spawn(program: str, argv: tuple[str, ...], env: Mapping[str, str], descriptors: Mapping[int, int]) -> int:
    """Start a program in a session of its own, with default signals and ``/dev/null`` to read.

    Args:
        program: its path.
        argv: its command line.
        env: its whole environment.
        descriptors: what it finds open: its number for each of ours.

    Raises:
        OSError: the system refuses.
        ValueError: a text holds a NUL.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    ]
    actions += [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in descriptors.items()]
    return os.posix_spawn(
        program, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=DEFAULT_SIGNALS
    )


def _program(spec: LaunchSpec) -> str:
    """The program's path, looked for on the node's own PATH."""
    name = spec.argv[0]
    if "/" in name:
        return name
    path = spec.env.get("PATH", os.defpath)
    found = _found.get((name, path))
    if found is None or not os.access(found, os.X_OK):
        found = which(name, path=path)
        if found is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), name)
        if len(_found) >= _MOST_FOUND:
            _found.clear()
        _found[name, path] = found
    return found


def _write_file(path: str, content: str) -> None:
    """See to it that a file has this content; one that a process may be reading is replaced, never changed."""
    encoded = content.encode("utf-8", "surrogateescape")
    try:
        if _has(path, encoded):
            return
        _write(path, encoded, os.O_EXCL)
    except FileExistsError:
        directory, name = os.path.split(path)
        temporary = f"{directory}/.{name}.new"
        _write(temporary, encoded, os.O_TRUNC)
        os.rename(temporary, path)  # noqa: PTH104
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), DIRECTORY_MODE, exist_ok=True)  # noqa: PTH103, PTH120
        _write(path, encoded, os.O_TRUNC)


def _has(path: str, content: bytes) -> bool:
    """Whether it is so already: comparing costs less than writing, and a node is started often."""
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


def _write(path: str, content: bytes, flag: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flag
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
    finally:
        os.close(descriptor)


@contextmanager
def _within(directory: str) -> Iterator[None]:
    """This process in a directory, so that the child is born there."""
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir("/")


@contextmanager
def _pinned(cpus: set[int]) -> Iterator[None]:
    """This process on some CPUs, so that the child is born there; it has one thread only."""
    if not cpus:
        yield
        return
    names = ", ".join(str(cpu) for cpu in sorted(cpus))
    if min(cpus) < 0:
        raise ValueError(f"CPU {names} does not exist")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, OverflowError) as error:
        raise ValueError(f"CPU {names} to pin to is offline or absent") from error
    try:
        if missing := cpus - os.sched_getaffinity(0):
            raise ValueError(f"CPU {', '.join(map(str, sorted(missing)))} to pin to is offline or absent")
        yield
    finally:
        os.sched_setaffinity(0, before)
