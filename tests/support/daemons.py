"""Daemons as real processes, for tests: started, waited for by their own word, stopped by pid.

A daemon says that it serves by a datagram to ``NOTIFY_SOCKET``; its end is seen
by pidfd. So nothing here polls a daemon that comes up or goes down.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support.ports import free_ports

__all__ = [
    "Daemon",
    "DaemonEndedError",
    "clean_environment",
    "free_ports",
    "memory_of",
    "processes_mentioning",
    "wait_for_end_of",
]

START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0


class DaemonEndedError(AssertionError):
    """The daemon ended instead of serving."""


class Daemon:
    """One ``python -m zeekfleet …``, or another command that takes ``NOTIFY_SOCKET``.

    Args:
        directory: for its output; made if missing.
        arguments: the verb and its options.
        environment: added to a clean one; nothing that configures zeekfleet is inherited.
        command: what to run instead of ``python -m zeekfleet``.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "zeekfleet"),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._stdout = directory / "stdout.txt"
        self._stderr = directory / "stderr.txt"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind("")  # the kernel chooses an abstract name
        address = self._notify.getsockname()
        name = "@" + address[1:].decode()
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=directory,
                env={**clean_environment(), "NOTIFY_SOCKET": name, **(environment or {})},
            )
        self._pidfd = os.pidfd_open(self.process.pid)
        self.messages: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.kill()
            os.close(self._pidfd)
            self._notify.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """All it wrote so far."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """All it wrote so far."""
        return self._stderr.read_text(errors="replace")

    def ready(self, timeout: float = START_TIMEOUT) -> str:
        """Wait until it serves; its ``ready:`` line.

        Raises:
            DaemonEndedError: it ended before, or does not come up.
        """
        self.told("READY=1", timeout)
        return next(line for line in self.stdout.splitlines() if line.startswith("ready: "))

    def told(self, word: str, timeout: float = START_TIMEOUT) -> str:
        """Wait for a notification that has this line; the whole of it.

        Raises:
            DaemonEndedError: it ended without, or did not tell in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            for message in self.messages:
                if word in message.splitlines():
                    return message
            rest = max(0.0, deadline - time.monotonic())
            found, _, _ = select.select([self._notify.fileno(), self._pidfd], [], [], rest)
            if self._notify.fileno() in found:
                self.messages.append(self._notify.recv(65536).decode())
            elif found:
                raise DaemonEndedError(f"ended with {self.process.wait()}, told {self.messages}: {self.stderr}")
            else:
                raise DaemonEndedError(f"no {word} within {timeout} s: {self.stderr}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    @property
    def memory(self) -> int:
        """Bytes of memory it has at the moment."""
        return memory_of(self.pid)


def memory_of(pid: int) -> int:
    """Resident bytes of a process (``VmRSS``)."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found.group(1)) * 1024


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped, by init for an orphan, does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def command_of(pid: int) -> list[str]:
    """A process's command line, which is empty for a moment after its start."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while not (command := Path(f"/proc/{pid}/cmdline").read_bytes()):
        assert time.monotonic() < deadline
        os.sched_yield()
    return [os.fsdecode(word) for word in command.split(b"\0")[:-1]]


def clean_environment() -> dict[str, str]:
    """This process's environment without what configures zeekfleet."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ZEEK") and key != "NOTIFY_SOCKET"}


def processes_mentioning(text: str) -> dict[int, str]:
    """Command lines, by pid, of running processes whose command line or working directory holds a text."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if command and (text in command or text in str((entry / "cwd").readlink())):
                found[int(entry.name)] = command
    return found


def wait_for_end_of(pid: int, timeout: float = STOP_TIMEOUT) -> bool:
    """Wait until a process, of whoever's, has ended; whether it has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], timeout)[0])
    finally:
        os.close(descriptor)
