"""Tells which processes a node has started, directly or not: none of them may outlive the node.

The stem is a subreaper, so orphans of nodes become its children. An orphan belongs to a node
if it has the node's process group, control group, environment tag, rlimit tag, working
directory or output files. Processes that were descendants when the node was asked to stop
are also known by process id and start time.

Orphans of a node that was adopted from an earlier stem become children of another process,
together with unrelated processes. So less counts as proof there: any process may share a
working directory. Any process may set a resource limit, too, so the rlimit tag counts only
on processes whose parent is one that such orphans go to.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet

from zeekfleet.model.variables import LAUNCH
from zeekfleet.stem.process import Process
from zeekfleet.system import procfs, rlimit_tag


def is_orphan_of(pid: int, process: Process, grouped: AbstractSet[int]) -> bool:
    """Whether an unknown child of ours descends from this process.

    Args:
        pid: the child.
        process: the node's process.
        grouped: the process ids in the node's control group.
    """
    if (
        pid in grouped
        or rlimit_tag.of_process(pid) == process.rlimit_tag
        or procfs.process_group(pid) == process.pid
        or _is_remembered(pid, process)
    ):
        return True
    tag = procfs.variable(pid, LAUNCH)
    return process.has_launched(tag) or (tag is None and _works_there(pid, process))


def found_elsewhere(process: Process, reapers: AbstractSet[int]) -> set[int]:
    """Find what an adopted process has left, among all processes of the host.

    Args:
        process: the node's process.
        reapers: the processes that orphans of adopted nodes go to.
    """
    tagged = {pid for pid, tag in procfs.processes_with(LAUNCH, f"{process.tree}:") if process.has_launched(tag)}
    limited = {pid for pid in procfs.processes() if _is_tagged_orphan(pid, process, reapers)}
    remembered = {pid for pid in process.descendants if _is_remembered(pid, process)}
    return (tagged | limited | remembered) - {process.pid, os.getpid()}


def is_from_elsewhere(pid: int, process: Process, reapers: AbstractSet[int]) -> bool:
    """Whether :func:`found_elsewhere` would still find this pid. Ask after opening a pidfd: the pid may be reused."""
    return (
        _is_remembered(pid, process)
        or _is_tagged_orphan(pid, process, reapers)
        or process.has_launched(procfs.variable(pid, LAUNCH))
    )


def _is_remembered(pid: int, process: Process) -> bool:
    if pid not in process.descendants:
        return False
    life = procfs.life(pid)
    return life is not None and life.start_time == process.descendants[pid]


def _is_tagged_orphan(pid: int, process: Process, reapers: AbstractSet[int]) -> bool:
    if rlimit_tag.of_process(pid) != process.rlimit_tag:
        return False
    life = procfs.life(pid)
    return life is not None and life.parent in reapers and life.start_time >= process.start_time


def _works_there(pid: int, process: Process) -> bool:
    """Whether a child of ours has the node's working directory or writes to its output files."""
    spec = process.spec
    return procfs.working_directory(pid) == os.path.realpath(spec.directory) or not {
        os.path.realpath(path) for path in (spec.stdout_file, spec.stderr_file)
    }.isdisjoint(procfs.outputs(pid))
