"""Daemons as processes: started, waited for by what they say, stopped, and nothing left of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.waiting import PATIENCE

STARTED: list[Daemon] = []
"""Every daemon of this run, for the report of a failure."""


class Lines:
    """What arrives on a pipe, line by line, with a way to wait for one."""

    def __init__(self, pipe: Iterator[str]) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe: Iterator[str]) -> None:
        for line in pipe:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def __str__(self) -> str:
        with self._news:
            return "".join(self._lines)

    def count(self, text: str) -> int:
        """How many lines hold the text so far."""
        with self._news:
            return sum(text in line for line in self._lines)

    def wait_for(self, text: str, times: int = 1, timeout: float = PATIENCE) -> bool:
        """Whether the text came that many times before the pipe's end or the time-out."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._count(text) >= times, timeout)
            return self._count(text) >= times

    def _count(self, text: str) -> int:
        return sum(text in line for line in self._lines)


class Daemon:
    """A zeekfleet daemon.

    Args:
        verb: ``controller``, ``agent`` or ``up``.
        options: its command line.
        environment: beside our own.
        before: a command that runs the daemon.
    """

    def __init__(
        self, verb: str, *options: str, environment: Mapping[str, str] | None = None, before: Sequence[str] = ()
    ) -> None:
        self.verb = verb
        self._before = before
        self._options = options
        self._environment = {**os.environ, **(environment or {})}
        self.start()
        STARTED.append(self)

    def __repr__(self) -> str:
        return f"zeekfleet {self.verb} {' '.join(self._options)}"

    def start(self) -> None:
        """Start it, or start it again; back when it serves."""
        self.process = subprocess.Popen(
            [*self._before, sys.executable, "-m", "zeekfleet", self.verb, *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        self.out = Lines(self.process.stdout)
        self.log = Lines(self.process.stderr)
        if not self.out.wait_for("ready: "):
            self.kill()
            raise AssertionError(f"{self!r} does not serve:\n{self.log}")

    def stop(self) -> int:
        """End it in order; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.process.kill()
        self.process.wait(PATIENCE)

    @property
    def state_directory(self) -> Path:
        """Where it keeps what must outlive it."""
        return Path(self._options[self._options.index("--state-dir") + 1])

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


def processes_of(directory: Path) -> dict[int, str]:
    """Processes that have the directory in their command line, environment or as working directory: pid to command."""
    found = {}
    needle = os.fsencode(directory)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if not command:
                continue  # has ended already
            texts = (command, (entry / "environ").read_bytes(), os.fsencode((entry / "cwd").readlink()))
            if any(needle in text for text in texts):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found
