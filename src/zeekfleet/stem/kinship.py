"""Which processes come from a node, beside its own: none of them is to survive it.

An orphan that comes to us is of some node, for nothing else is below us. Whose it is,
tells what it has not shed: its process group, its control group, the mark in its
environment, where it works or writes, and its brand. Besides, who was a descendant when
a stop was asked for is known by process id and start time.

What an adopted node leaves goes where that node went when its stem died: among all other
processes. There less will do: works and writes there who likes, and so a brand counts
only if its bearer is an orphan, that is where the adopted nodes are.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from zeekfleet.lifecycle.stopping import NOTHING, Work
from zeekfleet.stem import brands
from zeekfleet.stem.spawn import MARK_VARIABLE
from zeekfleet.system import procfs

if TYPE_CHECKING:
    from zeekfleet.stem.node import Node


def descendants(pid: int, start: int) -> dict[int, int]:
    """The living descendants of a process, and their start times, as far as no parent between has ended.

    A process that takes an id over in the meantime is none.

    Args:
        pid: the process; ``start``: its start time.
    """
    found: dict[int, int] = {}
    parents = [(pid, start)]
    for parent, since in parents:
        lives = [(child, procfs.life(child)) for child in procfs.children(parent)]
        # Still the same: so who calls it its parent means this one.
        if lives and procfs.start_time(parent) == since:
            new = {child: life.start_time for child, life in lives if life is not None and life.parent == parent}
            parents += ((child, new[child]) for child in new.keys() - found.keys())
            found |= new
    return found


def note_descendants(node: Node) -> None:
    """While it lives: this may be all that makes some of them known as its own."""
    if node.pid is None or node.start_time is None:
        return
    node.descendants |= descendants(node.pid, node.start_time)
    if not node.is_child and (life := procfs.life(node.pid)) is not None and life.start_time == node.start_time:
        node.reaper = life.parent


def work_of(node: Node) -> Work:
    """What a node's process and its descendants have done so far."""
    if node.pid is None or node.start_time is None:
        return NOTHING
    pids = {node.pid, *node.descendants, *descendants(node.pid, node.start_time)}
    return Work(sum(map(procfs.bytes_written, pids)), sum(map(procfs.cpu_time, pids)))


def is_orphan_of(pid: int, node: Node, grouped: AbstractSet[int]) -> bool:
    """Whether an unknown child of ours comes from this node.

    Args:
        pid: the child.
        node: the node.
        grouped: what is in its control group.
    """
    if (
        pid in grouped
        or brands.of_process(pid) == node.brand
        or procfs.process_group(pid) == node.pid
        or _is_remembered(pid, node)
    ):
        return True
    mark = procfs.variable(pid, MARK_VARIABLE)
    return node.owns(mark) or (mark is None and _shows_its_origin(pid, node))


def found_elsewhere(node: Node, reapers: AbstractSet[int]) -> set[int]:
    """What an adopted node has left, among all processes.

    Args:
        node: the node.
        reapers: to whom orphans of adopted nodes go.
    """
    marked = {pid for pid, mark in procfs.processes_with(MARK_VARIABLE, f"{node.tree}:") if node.owns(mark)}
    branded = {pid for pid in procfs.processes() if _is_branded_orphan(pid, node, reapers)}
    remembered = {pid for pid in node.descendants if _is_remembered(pid, node)}
    return (marked | branded | remembered) - {node.pid, os.getpid()}


def is_from_elsewhere(pid: int, node: Node, reapers: AbstractSet[int]) -> bool:
    """Whether one that was found is what it was found for: to be asked once a descriptor holds its id."""
    return (
        _is_remembered(pid, node)
        or _is_branded_orphan(pid, node, reapers)
        or node.owns(procfs.variable(pid, MARK_VARIABLE))
    )


def _is_remembered(pid: int, node: Node) -> bool:
    if pid not in node.descendants:
        return False
    life = procfs.life(pid)
    return life is not None and life.start_time == node.descendants[pid]


def _is_branded_orphan(pid: int, node: Node, reapers: AbstractSet[int]) -> bool:
    if brands.of_process(pid) != node.brand:
        return False
    life = procfs.life(pid)
    return life is not None and life.parent in reapers and life.start_time >= (node.start_time or 0)


def _shows_its_origin(pid: int, node: Node) -> bool:
    """Whether a child of ours works or writes where this node does."""
    spec = node.spec
    return procfs.working_directory(pid) == os.path.realpath(spec.directory) or not {
        os.path.realpath(path) for path in (spec.stdout_file, spec.stderr_file)
    }.isdisjoint(procfs.outputs(pid))
