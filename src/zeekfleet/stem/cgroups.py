"""Control groups (version 2) for nodes, where we may make them. Everything works without them, too.

The group of a node is ``<parent>/zeekfleet-<tree>/node-<name>``. Only two groups can be the
parent; groups of others are not touched. If systemd has delegated the group above ours to us
(``Delegate=yes`` with ``DelegateSubgroup=``), the parent is that group: below it, memory can
be limited. Otherwise the parent is our own group, where a node can only be killed as a whole:
a group that limits the memory of groups below it must not contain processes itself, unless
it is the root group.

A process is started inside its group (``forked_spawn``), so that whatever it starts is in the
group, too. That takes several times as long as ``posix_spawn``; but to move a running process
would stop the whole loop for some 15 ms. So only nodes that need a group get one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from zeekfleet.model.names import short_file_name
from zeekfleet.stem.preparation import reason_of
from zeekfleet.system import cgroup, cgroup_paths
from zeekfleet.system.cgroup import Cgroup
from zeekfleet.system.node_files import DIRECTORY_MODE


class Cgroups:
    """The groups of one stem's nodes, below a group of the stem's own.

    Args:
        tree: the tree's name, which is part of the group's name.
        log: writes a line if no group can be made.
    """

    def __init__(self, tree: str, log: Callable[[str], None]) -> None:
        self._name = f"zeekfleet-{tree}"
        self._log = log
        self._probed = False
        self._base: Path | None = None
        self._bases: set[Path] = set()

    def of(self, node: str) -> Cgroup | None:
        """The group for a node's next process, made if missing; None if it cannot be made."""
        if not self._probed:
            self._probed = True
            self._base = self._probe()
            if self._base is not None:
                self._bases.add(self._base)
        if self._base is None:
            return None
        path = self._base / f"node-{short_file_name(node)}"  # none of the kernel's own files here begins with "node-"
        try:
            path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        except OSError as error:
            self._log(f"no control group for node '{node}': {reason_of(error)}")
            return None
        return Cgroup(path)

    def found(self, pid: int) -> Cgroup | None:
        """The group of a running process that an earlier stem started; None if it is in no group of ours."""
        place, name = cgroup_paths.unified(), cgroup_paths.group_of(pid)
        if place is None or name is None:
            return None
        group = self.left(str(place.top / name.lstrip("/")))
        return Cgroup(group.path) if group is not None else None

    def left(self, path: str) -> Cgroup | None:
        """The group at the path that the journal has for an ended process; None if it is missing or not ours."""
        group = Path(path)
        if group.parent.name != self._name or not group.is_dir():
            return None
        self._bases.add(group.parent)
        return Cgroup(group, kills_before=0)

    def close(self) -> None:
        """Remove our own groups, which have no processes any more."""
        for base in self._bases:
            with contextlib.suppress(OSError):
                for entry in os.scandir(base):
                    if entry.is_dir(follow_symlinks=False):
                        cgroup.remove(Path(entry.path))
            cgroup.remove(base)

    def _probe(self) -> Path | None:
        own = cgroup_paths.unified()
        if own is None:
            self._log("no control groups: version 2 is not mounted")
            return None
        if own.directory != own.top and cgroup.is_handed_over(own.directory.parent):
            above = self._make(own.directory.parent)
            if above is not None and cgroup.hands_out_memory(above):
                return above
            if above is not None:
                cgroup.remove(above)
        return self._make(own.directory)

    def _make(self, parent: Path) -> Path | None:
        """Make our group below a parent; None if no process can be started in it."""
        base = parent / self._name
        try:
            base.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            for directory in (parent, base):
                # Without the memory controller, a group can still be killed as a whole.
                with contextlib.suppress(OSError):
                    (directory / "cgroup.subtree_control").write_text("+memory")
            cgroup.try_out(base / "trial")
        except OSError as error:
            self._log(f"no control groups below {parent}: {reason_of(error)}")
            cgroup.remove(base)
            return None
        return base
