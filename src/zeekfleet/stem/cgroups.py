"""Control groups (version 2) of nodes, where we may make them; everything works without.

The group of a node is ``<parent>/zeekfleet-<tree>/node-<name>``. A group that limits the
memory of groups below it must not contain a process itself, unless it is the root group. So
the parent is our own group, which can only kill a node as a whole. Or it is the group
above, if systemd has marked that as handed over to us (``Delegate=yes`` with
``DelegateSubgroup=``): there memory can be limited, too. Nobody else's group is touched.

A process is started inside its group (``forked_spawn``), so that nothing it starts can be
outside. That takes several times as long as ``posix_spawn``, and moving it afterwards
would stop the whole loop for some 15 ms. So only nodes that need a group get one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from zeekfleet.model.names import short_file_name
from zeekfleet.stem.preparation import DIRECTORY_MODE, reason_of
from zeekfleet.system import cgroup, cgroup_paths
from zeekfleet.system.cgroup import Cgroup


class Cgroups:
    """The groups of one stem, in a group of its own.

    Args:
        tree: names that group.
        log: takes one line if there can be none.
    """

    def __init__(self, tree: str, log: Callable[[str], None]) -> None:
        self._name = f"zeekfleet-{tree}"
        self._log = log
        self._probed = False
        self._base: Path | None = None
        self._bases: set[Path] = set()

    def of(self, node: str) -> Cgroup | None:
        """The group for a node's next process, made if missing; None if there can be none."""
        if not self._probed:
            self._probed = True
            self._base = self._probe()
            if self._base is not None:
                self._bases.add(self._base)
        if self._base is None:
            return None
        path = self._base / f"node-{short_file_name(node)}"  # no file of the kernel's begins with this
        try:
            path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        except OSError as error:
            self._log(f"no control group for node '{node}': {reason_of(error)}")
            return None
        return Cgroup(path)

    def found(self, pid: int) -> Cgroup | None:
        """The group of a running process that an earlier stem started; None if it is in none of ours."""
        place, name = cgroup_paths.unified(), cgroup_paths.group_of(pid)
        if place is None or name is None:
            return None
        group = self.left(str(place.top / name.lstrip("/")))
        return Cgroup(group.path) if group is not None else None

    def left(self, path: str) -> Cgroup | None:
        """The group of a process that has ended unseen, by the journal's path; None if it is not there or not ours."""
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
        """Our group below a parent; None if no process can be started in it."""
        base = parent / self._name
        try:
            base.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            for directory in (parent, base):
                # Without the controller a group can still be killed as a whole.
                with contextlib.suppress(OSError):
                    (directory / "cgroup.subtree_control").write_text("+memory")
            cgroup.try_out(base / "trial")
        except OSError as error:
            self._log(f"no control groups below {parent}: {reason_of(error)}")
            cgroup.remove(base)
            return None
        return base
