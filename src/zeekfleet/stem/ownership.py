"""Which processes come from a node beside its own one: none of them may survive it.

The stem is a subreaper, so an orphan that comes to us is of some node. Whose it is, we
tell by what it still carries: its process group, its control group, the tag in its
environment, the tag in its resource limits, or where it works and writes. Who was a
descendant when the node was asked to stop is also known by process id and start time.

A node that was adopted from an earlier stem leaves its orphans to another process, where
they are among strangers. There less counts: any process may share a working directory,
and any may carry a resource limit, so the limit's tag counts only on processes whose
parent is one that such orphans go to.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet

from zeekfleet.model.variables import LAUNCH
from zeekfleet.stem import rlimit_tag
from zeekfleet.stem.process import Process
from zeekfleet.system import procfs


def is_orphan_of(pid: int, process: Process, grouped: AbstractSet[int]) -> bool:
    """Whether an unknown child of ours comes from this process.

    Args:
        pid: the child.
        process: the node's.
        grouped: the process ids in its control group.
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
    """What an adopted process has left among all processes of the host.

    Args:
        process: the node's.
        reapers: the processes that orphans of adopted nodes go to.
    """
    tagged = {pid for pid, tag in procfs.processes_with(LAUNCH, f"{process.tree}:") if process.has_launched(tag)}
    limited = {pid for pid in procfs.processes() if _is_tagged_orphan(pid, process, reapers)}
    remembered = {pid for pid in process.descendants if _is_remembered(pid, process)}
    return (tagged | limited | remembered) - {process.pid, os.getpid()}


def is_from_elsewhere(pid: int, process: Process, reapers: AbstractSet[int]) -> bool:
    """Whether a process id is still one that :func:`found_elsewhere` gives; to be asked once a pidfd holds it."""
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
    """Whether a child of ours works or writes where this node does."""
    spec = process.spec
    return procfs.working_directory(pid) == os.path.realpath(spec.directory) or not {
        os.path.realpath(path) for path in (spec.stdout_file, spec.stderr_file)
    }.isdisjoint(procfs.outputs(pid))
