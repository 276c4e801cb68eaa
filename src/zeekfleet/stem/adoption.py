"""Finds what an earlier stem of the same state directory left: each node's launch, record and process.

A process is a node's own process if the journal names its process id and start time. It is
one, too, if it leads its session and carries the tag of a launch that the journal does not
know: the stem may have died before it could write, or the journal may be torn. If the
launch specification is lost as well, it is read from the process. A process that has our
tag but belongs to no node is killed: nobody would watch it, and it would run beside its replacement.

Any process may carry any tag, also one of a user that nodes run as, which has fewer rights than we. So a process can be
that of a node only if it runs as the node's user, and a launch that is read from a process is one of its user.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from zeekfleet.model.launch import Account, LaunchSpec
from zeekfleet.model.names import CONFIG_FILE, NODES
from zeekfleet.model.variables import LAUNCH, NODE_CONFIG
from zeekfleet.stem import environment_tag
from zeekfleet.stem.environment_tag import FORKED_VARIABLE, is_name
from zeekfleet.stem.records import ProcessRecord, Records
from zeekfleet.system import capabilities, procfs
from zeekfleet.system.privileges import owner_of

_KILL_PATIENCE = 2.0
"""Seconds to wait for strays to end: the next processes need their ports and files."""


class Inherited(msgspec.Struct, frozen=True):
    """A node that the last stem ran.

    Attributes:
        spec: what it is launched with.
        record: what the journal says of it.
        process: the process id and start time of its process, if that is there.
        launch: the number of that launch, if it is known from the tag only.
        recovered: the launch could not be read, and ``spec`` was made from the process.
    """

    spec: LaunchSpec
    record: ProcessRecord | None
    process: tuple[int, int] | None
    launch: int | None = None
    recovered: bool = False


class Tagged(msgspec.Struct, frozen=True):
    """A process with our environment tag. ``node`` and ``launch`` are what the tag says, ``uid`` is its user."""

    pid: int
    uid: int
    start_time: int
    session: int
    parent: int
    node: str | None
    launch: int | None

    @property
    def leads(self) -> bool:
        """Whether it is the leader of its session, as a node's own process is."""
        return self.pid == self.session


class _Named(msgspec.Struct):
    """The part of a node's configuration file that is needed here."""

    name: str


def inherit(records: Records, problem_with: Callable[[LaunchSpec], str], log: Callable[[str], None]) -> list[Inherited]:
    """Find the nodes of an earlier stem, and kill tagged processes that belong to no node.

    Args:
        records: the records of the state directory.
        problem_with: returns the reason why a specification cannot become a node; empty if it can.
        log: writes a line.
    """
    known = records.processes()
    specs = {spec.name: spec for spec in records.load(problem_with)}
    tagged = _tagged(records.tree)
    candidates = _candidates(tagged, specs.values())
    nodes: list[Inherited] = []
    for name in dict.fromkeys((*specs, *known, *candidates)):
        record, spec = known.get(name), specs.get(name)
        process, launch = _recorded(record), None
        if process is None and (found := _own(candidates.get(name, ()), record, spec)) is not None:
            process, launch = (found.pid, found.start_time), found.launch
        if spec is not None:
            recovered = name in records.launches.recovered
            nodes.append(Inherited(spec, record, process, launch, recovered))
        elif process is not None:
            log(f"node '{name}' is known by its process only, pid {process[0]}")
            spec = _spec_from(name, process[0])
            if spec.argv:
                (spec,) = records.launches.put_away([spec], recovered=True)
            nodes.append(Inherited(spec, record, process, launch, recovered=True))
        elif record is not None:
            log(f"node '{name}' does not run, and what it was launched with cannot be read: it is forgotten")
            records.remove(name)
    _kill_strays(tagged, {node.spec.name: node.process[0] for node in nodes if node.process is not None}, log)
    return nodes


# --- which process belongs to which node


def _tagged(tree: str) -> list[Tagged]:
    """All living processes with a tag of this tree, the oldest first."""
    found = []
    for pid, text in procfs.processes_with(LAUNCH, f"{tree}:"):
        start, session, parent = procfs.start_time(pid), procfs.session(pid), procfs.parent(pid)
        uid, tag = procfs.user(pid), environment_tag.read(text)
        if start is None or session is None or parent is None or uid is None or tag is None or pid == os.getpid():
            continue
        found.append(Tagged(pid, uid, start, session, parent, tag.node, tag.launch))
    return sorted(found, key=lambda process: process.start_time)


def _candidates(processes: Sequence[Tagged], specs: Iterable[LaunchSpec]) -> dict[str, list[Tagged]]:
    """For each node, the processes that may be its own.

    A former release forked simulated nodes from a server process. Such a node may carry that server's tag, which
    names no node. It is then known by its working directory: a launch specification names that directory, or the
    node's configuration file lies in it.
    """
    places = {os.path.realpath(spec.directory): spec.name for spec in specs}
    nodes = {process.pid: process.node for process in processes}
    found: dict[str, list[Tagged]] = {}
    for process in processes:
        if not process.leads:
            continue
        name = process.node
        if name is None and process.uid == os.geteuid():  # a former release ran all nodes as its own user
            place = procfs.working_directory(process.pid)
            name = places.get(place) or _configured(place)
        elif nodes.get(process.parent) == name:
            continue  # the node has started it: a child of the dead stem would have another parent by now
        if name is not None:
            found.setdefault(name, []).append(process)
    return found


def _configured(directory: str) -> str | None:
    """The name of the node whose directory this is; None if it is no node's directory."""
    try:
        return msgspec.json.decode(procfs.read(f"{directory}/{CONFIG_FILE}"), type=_Named).name or None
    except msgspec.MsgspecError:
        return None


def _recorded(record: ProcessRecord | None) -> tuple[int, int] | None:
    """The process id and start time that the journal names, if that process still runs."""
    if record is None or record.pid is None or record.start_time is None:
        return None
    return (record.pid, record.start_time) if procfs.start_time(record.pid) == record.start_time else None


def _own(processes: Iterable[Tagged], record: ProcessRecord | None, spec: LaunchSpec | None) -> Tagged | None:
    """Choose the node's own process among the candidates; None if its last launch has ended.

    If the journal knows a launch, processes that still carry its tag were started by the node.
    """
    return min(
        (each for each in processes if _is_of_unknown_launch(each, record) and _runs_as(each, spec)),
        key=lambda each: (-(each.launch or 0), not _runs(each.pid, spec), each.start_time, each.pid),
        default=None,
    )


def _is_of_unknown_launch(process: Tagged, record: ProcessRecord | None) -> bool:
    if record is None or (record.pid is None and not record.ended and record.due is None):
        return True  # the journal does not say what became of the launch
    if process.launch is not None:
        return process.launch > record.restarts
    return record.pid is None and not record.ended


def _runs_as(process: Tagged, spec: LaunchSpec | None) -> bool:
    """Whether a process runs as the user of the launch, if that is known."""
    if spec is None:
        return True
    return process.uid == (os.geteuid() if spec.user is None else spec.user.uid)


def _runs(pid: int, spec: LaunchSpec | None) -> bool:
    """Whether a process still runs the program of the specification: it may have executed another one since."""
    return spec is not None and _command_line(pid) == spec.argv


def _command_line(pid: int) -> tuple[str, ...]:
    return tuple(os.fsdecode(word) for word in procfs.read(f"/proc/{pid}/cmdline").split(b"\0")[:-1])


# --- replacing what is lost


def _spec_from(name: str, pid: int) -> LaunchSpec:
    """Rebuild a node's launch specification from what its process shows.

    If that is not enough to run the node again, the specification has no program: a node that
    a former release has forked shows the command line and environment of the process that forked it.
    """
    env = _environment(pid)
    tag = environment_tag.read(env.pop(LAUNCH, ""))
    is_forked = FORKED_VARIABLE in env or (tag is not None and tag.node is None)
    directory, stdout, stderr = (_target(f"/proc/{pid}/{link}") for link in ("cwd", "fd/1", "fd/2"))
    is_whole = bool(directory and stdout and stderr) and not is_forked
    return LaunchSpec(
        name=name,
        argv=_command_line(pid) if is_whole else (),
        env=env if is_whole else {NODE_CONFIG: f"{directory}/{CONFIG_FILE}"},
        directory=directory,
        stdout_file=stdout,
        stderr_file=stderr,
        user=_account(pid),
    )


def _account(pid: int) -> Account | None:
    """The user that a process runs as; None if it is our own."""
    status = procfs.status(pid)
    uids, gids = status.get("Uid", "").split(), status.get("Gid", "").split()
    if len(uids) < 2 or len(gids) < 2 or int(uids[1]) == os.geteuid():
        return None
    return Account(
        uid=int(uids[1]),
        gid=int(gids[1]),
        groups=tuple(sorted(int(group) for group in status.get("Groups", "").split())),
        capabilities=tuple(sorted(capabilities.of_mask(int(status.get("CapAmb", "0"), 16)))),
    )


def _environment(pid: int) -> dict[str, str]:
    entries = (os.fsdecode(entry) for entry in procfs.read(f"/proc/{pid}/environ").split(b"\0"))
    return {name: value for name, _, value in (entry.partition("=") for entry in entries) if name}


def _target(link: str) -> str:
    """The path that a link in ``/proc`` points to, even if that file is deleted; empty if we may not read the link."""
    try:
        return os.readlink(link).removesuffix(" (deleted)")
    except OSError:
        return ""


def lost_tree(state: Path) -> str | None:
    """Find the name of the tree from processes of nodes below this state directory; None if there are none.

    This is for a lost ``tree`` file. Processes of users that own no such directory, of containers with directories
    of the same name, and children of a living stem do not count.
    """
    places = f"{state}/{NODES}/"
    trees: dict[str, int] = {}
    for pid, path in procfs.processes_with(NODE_CONFIG, places):
        directory, _, file = path.removeprefix(places).rpartition("/")
        tag = environment_tag.read(procfs.variable(pid, LAUNCH) or "")
        if tag is None or file != CONFIG_FILE or "/" in directory or not is_name(tag.tree):
            continue
        owner = owner_of(f"{places}{directory}")
        if not _is_ours(pid, os.geteuid() if owner is None else owner.uid):
            continue
        trees[tag.tree] = max(procfs.start_time(pid) or 0, trees.get(tag.tree, 0))
    return max(trees, key=trees.__getitem__, default=None)


def _is_ours(pid: int, owner: int) -> bool:
    try:
        is_owner = procfs.user(pid) in (os.geteuid(), owner)
        is_of_stem = "zeekfleet.stem" in _command_line(procfs.parent(pid) or 0)
        return is_owner and os.path.samefile(f"/proc/{pid}/root", "/") and not is_of_stem
    except OSError:
        return False


# --- strays


def _kill_strays(tagged: Iterable[Tagged], running: dict[str, int], log: Callable[[str], None]) -> None:
    ours = set(running.values())
    strays = [
        process
        for process in tagged
        if process.pid not in ours and process.session not in ours and process.node not in running
    ]
    for process in strays:
        if process.node:
            log(f"process {process.pid} is marked as node '{process.node}' but is not its process: it is killed")
        else:
            log(f"process {process.pid} was started by an earlier stem, for no node: it is killed")
    _kill(strays)


def _kill(processes: Iterable[Tagged]) -> None:
    """Send SIGKILL to each process, unless its pid was reused, and wait a short time until they have ended."""
    descriptors = [descriptor for process in processes if (descriptor := _killed(process)) is not None]
    deadline = time.monotonic() + _KILL_PATIENCE
    for descriptor in descriptors:
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        end.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(descriptor)


def _killed(process: Tagged) -> int | None:
    """Kill a process. Returns a pidfd of it; None if it had ended already."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return None
    # The pidfd stays with one process even if the pid is reused. The start time tells whether it is the right one.
    if procfs.start_time(process.pid) == process.start_time:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            return descriptor
    os.close(descriptor)
    return None
