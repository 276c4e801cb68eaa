"""Finds what an earlier stem of the same state directory left running.

A process is a node's if the journal says so, by process id and start time; or else, if
it carries the mark of a launch that the journal does not know of, and leads its session:
the stem may have died before it could write, or the journal may be torn. Even what a
node was launched with can be read from its process, if that file is gone. What carries
our mark and is nobody's, is killed: unwatched, it would run beside its own replacement.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import marks
from zeekfleet.stem.marks import DESCRIPTOR_VARIABLE
from zeekfleet.stem.records import ProcessRecord
from zeekfleet.stem.spawn import MARK_VARIABLE
from zeekfleet.system import procfs

_KILL_PATIENCE = 2.0
"""Seconds to wait for strays: their ports and files are wanted by those who come next."""


class Marked(msgspec.Struct, frozen=True):
    """A process that carries a mark of ours.

    Attributes:
        pid: its process id; ``start_time`` with it, ``session`` and ``parent`` by theirs.
        node: the node in its mark; None where the mark does not tell.
        launch: the number of the launch in its mark, if it has one.
    """

    pid: int
    start_time: int
    session: int
    parent: int
    node: str | None
    launch: int | None

    @property
    def leads(self) -> bool:
        """Whether it is the first of its session, as a node's own process is."""
        return self.pid == self.session


class _Named(msgspec.Struct):
    """Of a node's own configuration, all that is wanted here."""

    name: str


def marked(tree: str) -> list[Marked]:
    """All living processes with a mark of this tree, oldest first."""
    found = []
    for pid, text in procfs.processes_with(MARK_VARIABLE, f"{tree}:"):
        start, session, parent = procfs.start_time(pid), procfs.session(pid), procfs.parent(pid)
        mark = marks.read(text)
        if start is None or session is None or parent is None or mark is None or pid == os.getpid():
            continue
        found.append(Marked(pid, start, session, parent, mark.node, mark.launch))
    return sorted(found, key=lambda process: process.start_time)


def candidates(processes: Sequence[Marked], specs: Iterable[LaunchSpec]) -> dict[str, list[Marked]]:
    """Of each node, the processes that may be its own.

    A former release forked simulated nodes from a server process. Such a node may carry that server's mark, which
    names no node; but it works in the node's directory, which a launch names or which holds its configuration.
    """
    places = {os.path.realpath(spec.directory): spec.name for spec in specs}
    nodes = {process.pid: process.node for process in processes}
    found: dict[str, list[Marked]] = {}
    for process in processes:
        if not process.leads:
            continue
        name = process.node
        if name is None:
            place = procfs.working_directory(process.pid)
            name = places.get(place) or _configured(place)
        elif nodes.get(process.parent) == name:
            continue  # started by the node: the stem's own children have lost their parent
        if name is not None:
            found.setdefault(name, []).append(process)
    return found


def _configured(directory: str) -> str | None:
    """The name of the node whose directory this is; None if it is none."""
    try:
        return msgspec.json.decode(procfs.read(f"{directory}/{marks.CONFIG_FILE}"), type=_Named).name or None
    except msgspec.MsgspecError:
        return None


def recorded(record: ProcessRecord | None) -> tuple[int, int] | None:
    """The process and its start time that the journal names, if it still is there."""
    if record is None or record.pid is None or record.start_time is None:
        return None
    return (record.pid, record.start_time) if procfs.start_time(record.pid) == record.start_time else None


def own(processes: Iterable[Marked], record: ProcessRecord | None, spec: LaunchSpec | None) -> Marked | None:
    """Of the candidates, the one that is the node's own process; None if its last launch has ended.

    Where the journal knows of a launch, what is left of that one was started by the node.
    """
    unknown = [process for process in processes if _is_of_unknown_launch(process, record)]
    return min(
        unknown,
        key=lambda each: (-(each.launch or 0), not _runs(each.pid, spec), each.start_time, each.pid),
        default=None,
    )


def _is_of_unknown_launch(process: Marked, record: ProcessRecord | None) -> bool:
    if record is None or (record.pid is None and not record.ended and record.due is None):
        return True  # the journal does not tell what has become of it
    if process.launch is not None:
        return process.launch > record.restarts
    return record.pid is None and not record.ended


def _runs(pid: int, spec: LaunchSpec | None) -> bool:
    """Whether a process is just the program that the node was launched as: it may have become another since."""
    return spec is not None and _command_line(pid) == spec.argv


def _command_line(pid: int) -> tuple[str, ...]:
    return tuple(os.fsdecode(word) for word in procfs.read(f"/proc/{pid}/cmdline").split(b"\0")[:-1])


def spec_from(name: str, pid: int) -> LaunchSpec:
    """What a node was launched with, as far as its process shows it.

    Without a program if that is not enough to run it again: a node that a former release
    has forked shows the command line and environment of the process that forked it.
    """
    argv = _command_line(pid)
    env = _environment(pid)
    mark = marks.read(env.pop(MARK_VARIABLE, ""))
    is_forked = DESCRIPTOR_VARIABLE in env or (mark is not None and mark.node is None)
    directory, stdout, stderr = (_target(f"/proc/{pid}/{link}") for link in ("cwd", "fd/1", "fd/2"))
    is_whole = bool(directory and stdout and stderr) and not is_forked
    return LaunchSpec(
        name=name,
        argv=argv if is_whole else (),
        env=env if is_whole else {marks.CONFIG_VARIABLE: f"{directory}/{marks.CONFIG_FILE}"},
        directory=directory,
        stdout_file=stdout,
        stderr_file=stderr,
    )


def _environment(pid: int) -> dict[str, str]:
    entries = (os.fsdecode(entry) for entry in procfs.read(f"/proc/{pid}/environ").split(b"\0"))
    return {name: value for name, _, value in (entry.partition("=") for entry in entries) if name}


def _target(link: str) -> str:
    """Where a link of the kernel's leads, or led; empty if that is not ours to know."""
    try:
        return str(Path(link).readlink()).removesuffix(" (deleted)")
    except OSError:
        return ""


def lost_tree(state: Path) -> str | None:
    """The tree whose nodes have their directories in this state directory; None if there is none.

    For when its name is lost. Processes of other users, of containers with directories
    of the same name, and of a stem that still lives are none of ours.
    """
    places = f"{state}/nodes/"
    trees: dict[str, int] = {}
    for pid, path in procfs.processes_with(marks.CONFIG_VARIABLE, places):
        directory, _, file = path.removeprefix(places).rpartition("/")
        mark = marks.read(procfs.variable(pid, MARK_VARIABLE) or "")
        if mark is None or file != marks.CONFIG_FILE or "/" in directory or not _is_ours(pid):
            continue
        trees[mark.tree] = max(procfs.start_time(pid) or 0, trees.get(mark.tree, 0))
    return max(trees, key=trees.__getitem__, default=None)


def _is_ours(pid: int) -> bool:
    try:
        is_owner = Path(f"/proc/{pid}").stat().st_uid == os.geteuid()
        return is_owner and Path(f"/proc/{pid}/root").samefile("/") and not _is_stem(procfs.parent(pid) or 0)
    except OSError:
        return False


def _is_stem(pid: int) -> bool:
    return "zeekfleet.stem" in _command_line(pid)


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
