"""Finds what an earlier stem of the same state directory left running.

A process is a node's if the journal says so, by process id and start time; or else, if
it carries the node's mark and leads its session: the stem may have died before it
could write, or the journal may be torn. Even what a node was launched with can be
read from its process, if that file is gone. What carries our mark and is nobody's, is
killed: unwatched, it would run beside its own replacement.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import marks, procfs
from zeekfleet.stem.spawn import MARK_VARIABLE

_KILL_PATIENCE = 2.0
"""Seconds to wait for strays: their ports and files are wanted by those who come next."""


class Marked(msgspec.Struct, frozen=True):
    """A process that carries a mark of ours; ``node`` None: of a fork server."""

    pid: int
    start_time: int
    session: int
    node: str | None

    @property
    def leads(self) -> bool:
        """Whether it is the first of its session, as a node's own process is."""
        return self.pid == self.session


def marked(tree: str) -> list[Marked]:
    """All living processes with a mark of this tree, oldest first."""
    found = []
    for pid, mark in procfs.processes_with(MARK_VARIABLE, f"{tree}:"):
        start, session = procfs.start_time(pid), procfs.session(pid)
        if start is not None and session is not None and pid != os.getpid():
            found.append(Marked(pid, start, session, marks.node_of(mark)))
    return sorted(found, key=lambda process: process.start_time)


def leaders(processes: Iterable[Marked]) -> dict[str, Marked]:
    """The oldest leading process of each node."""
    found: dict[str, Marked] = {}
    for process in processes:
        if process.node is not None and process.leads:
            found.setdefault(process.node, process)
    return found


def forked(processes: Iterable[Marked], specs: Iterable[LaunchSpec]) -> dict[str, Marked]:
    """The oldest leading process of each node that a fork server has forked.

    It carries the server's mark, which names no node, but works in the node's directory.
    """
    places = {os.path.realpath(spec.directory): spec.name for spec in specs if spec.forkserver}
    found: dict[str, Marked] = {}
    for process in processes:
        if process.node is None and process.leads and places:
            name = places.get(procfs.working_directory(process.pid))
            if name is not None:
                found.setdefault(name, process)
    return found


def spec_from(process: Marked) -> LaunchSpec | None:
    """What a node was launched with, as its process shows it; None if that does not suffice to run it again."""
    pid = process.pid
    argv = tuple(os.fsdecode(word) for word in procfs.read(f"/proc/{pid}/cmdline").split(b"\0")[:-1])
    entries = (os.fsdecode(entry).partition("=") for entry in procfs.read(f"/proc/{pid}/environ").split(b"\0") if entry)
    try:
        directory, stdout, stderr = (str(Path(f"/proc/{pid}/{link}").readlink()) for link in ("cwd", "fd/1", "fd/2"))
    except OSError:
        return None
    if not argv or not argv[0] or process.node is None:
        return None
    return LaunchSpec(
        name=process.node,
        argv=argv,
        env={name: value for name, _, value in entries if name != MARK_VARIABLE},
        directory=directory,
        stdout_file=stdout,
        stderr_file=stderr,
    )


def kill(processes: Iterable[Marked]) -> None:
    """SIGKILL each, if it is still the process that it was, and wait a short time for their end."""
    descriptors = [descriptor for process in processes if (descriptor := _killed(process)) is not None]
    deadline = time.monotonic() + _KILL_PATIENCE
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    left = len(descriptors)
    while left and (rest := deadline - time.monotonic()) > 0:
        for descriptor, _ in waiting.poll(rest * 1000):
            waiting.unregister(descriptor)
            left -= 1
    for descriptor in descriptors:
        os.close(descriptor)


def _killed(process: Marked) -> int | None:
    """A descriptor of the process, which has been killed; None if it is no more."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return None
    # From here on the descriptor names one process; whether it is the right one, its start time tells.
    if procfs.start_time(process.pid) == process.start_time:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            return descriptor
    os.close(descriptor)
    return None
