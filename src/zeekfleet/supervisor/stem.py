"""Starts the stem of a state directory, or finds the one that runs."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from zeekfleet.errors import StateDirectoryError, StemError
from zeekfleet.stem import sockets
from zeekfleet.system import core_files, processes, unix_sockets
from zeekfleet.system.files import open_own

STDOUT_NAME = "stem.stdout"
STDERR_NAME = "stem.stderr"
START_TIMEOUT = 15.0
"""Seconds that a new stem may take to be ready, on a machine that is busy."""

_RACE_RETRIES = 50
_RACE_PAUSE = 0.1

_started: list[tuple[Path, subprocess.Popen[bytes]]] = []


def reap() -> None:
    """Reap the stems that this process started and that have ended."""
    _started[:] = [(state, process) for state, process in _started if process.poll() is None]


def is_ours(pid: int) -> bool:
    """Whether this process started that stem, so that :func:`reap` reaps it."""
    return any(process.pid == pid for _, process in _started)


def end(pid: int) -> None:
    """Kill a stem, and wait until it has ended. The next stem takes over its nodes.

    Raises:
        StemError: it does not end.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if not select.select([descriptor], [], [], START_TIMEOUT)[0]:
            raise StemError(f"the stem with pid {pid} does not end")
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
        reap()


async def ended(pid: int, timeout: float) -> bool:
    """Wait until a stem has ended, whoever started it; False if it takes longer than ``timeout`` seconds."""
    try:
        return await processes.ended(pid, timeout)
    finally:
        reap()


async def connect(state: Path) -> socket.socket:
    """Connect to the stem; start it if none runs.

    Raises:
        StateDirectoryError: the state directory cannot be used.
        StemError: it could not be started.
    """
    reap()
    _make_directory(state)
    for _ in range(_RACE_RETRIES):
        try:
            return unix_sockets.connect(state / sockets.SOCKET_NAME)
        except (FileNotFoundError, ConnectionRefusedError):
            locked = await _start(state)
        except OSError as error:
            raise StateDirectoryError(state, error.strerror or str(error)) from error
        if locked:
            # Another stem has the lock: it is just starting, or just ending. Neither can be waited for, so try again.
            await asyncio.sleep(_RACE_PAUSE)
    raise StemError(f"the stem of {state} does not accept connections")


def _make_directory(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateDirectoryError(state, error.strerror or str(error)) from error


async def _start(state: Path) -> bool:
    """Start a stem and wait until it is ready; True if another stem has the directory's lock."""
    reader, writer = os.pipe()
    try:
        process = _spawn(state, writer)
    except OSError as error:
        os.close(reader)
        raise StateDirectoryError(state, error.strerror or str(error)) from error
    finally:
        os.close(writer)
    _started.append((state, process))
    words = await _read_all(reader)
    if words == "ready":
        return False
    if "another stem" in words:
        await asyncio.to_thread(process.wait, START_TIMEOUT)
        return True
    raise StemError(f"the stem could not be started: {words or f'see {state / STDERR_NAME}'}")


def _spawn(state: Path, ready: int) -> subprocess.Popen[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    stdout = open_own(state / STDOUT_NAME, flags)
    try:
        stderr = open_own(state / STDERR_NAME, flags)
    except OSError:
        os.close(stdout)
        raise
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zeekfleet.stem", str(state), str(ready)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(ready,),
            start_new_session=True,
        )
        core_files.restore_limit(process.pid)
        return process
    finally:
        os.close(stdout)
        os.close(stderr)


async def _read_all(descriptor: int) -> str:
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb")
    )
    try:
        async with asyncio.timeout(START_TIMEOUT):
            return (await stream.read()).decode("utf-8", "replace")
    except TimeoutError as error:
        raise StemError(f"the stem was not ready within {START_TIMEOUT:g} s") from error
    finally:
        transport.close()
