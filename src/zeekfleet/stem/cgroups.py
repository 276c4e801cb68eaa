"""Control groups (version 2) of nodes, where we may make them; everything works without.

The group of a node is ``<parent>/zeekfleet-<tree>/node-<name>``. A group that hands out
memory to groups below it must have no process of its own, unless it is the topmost of
all. So the parent is either our own group, which then can only kill as a whole; or the
one above, if systemd has marked it as handed over to us (``Delegate=yes`` with
``DelegateSubgroup=``): there memory can be limited, too. Nobody else's is touched.

A process is born in its group (``forking``), so that nothing it starts can be outside.
That takes several times as long as ``posix_spawn``; moving it afterwards would stop the
whole loop for some 15 ms. So only nodes that need a group get one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from zeekfleet.stem.forking import fork
from zeekfleet.stem.records import file_name
from zeekfleet.stem.spawn import DIRECTORY_MODE, reason_of
from zeekfleet.system import cgroup_paths, procfs


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
        """The group of a node, made if missing; None if there can be none."""
        if not self._probed:
            self._probed = True
            self._base = self._probe()
            if self._base is not None:
                self._bases.add(self._base)
        if self._base is None:
            return None
        path = self._base / _directory_of(node)
        try:
            path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        except OSError as error:
            self._log(f"no control group for node '{node}': {reason_of(error)}")
            return None
        return Cgroup(path)

    def found(self, pid: int) -> Cgroup | None:
        """The group that a node's running process was born in, under whatever stem; None if it has none of ours."""
        place, name = cgroup_paths.unified(), cgroup_paths.group_of(pid)
        if place is None or name is None:
            return None
        return self.left(str(place.top / name.lstrip("/")))

    def left(self, path: str) -> Cgroup | None:
        """The group with a path that an earlier stem has told; None if it is not there, or not one of ours."""
        group = Path(path)
        if group.parent.name != self._name or not group.is_dir():
            return None
        self._bases.add(group.parent)
        return Cgroup(group)

    def close(self) -> None:
        """Remove our own groups, which have no processes any more."""
        for base in self._bases:
            with contextlib.suppress(OSError):
                for entry in os.scandir(base):
                    if entry.is_dir(follow_symlinks=False):
                        _remove(Path(entry.path))
            _remove(base)

    def _probe(self) -> Path | None:
        own = cgroup_paths.unified()
        if own is None:
            self._log("no control groups: version 2 is not mounted")
            return None
        if own.directory != own.top and _is_handed_over(own.directory.parent):
            above = self._make(own.directory.parent)
            if above is not None and _has_memory(above):
                return above
            if above is not None:
                _remove(above)
        return self._make(own.directory)

    def _make(self, parent: Path) -> Path | None:
        """Our group below one, if nodes can be born in it."""
        base = parent / self._name
        try:
            base.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            for directory in (parent, base):
                # Without the controller a group can still be killed as a whole.
                with contextlib.suppress(OSError):
                    (directory / "cgroup.subtree_control").write_text("+memory")
            _try_out(base / "trial")
        except OSError as error:
            self._log(f"no control groups below {parent}: {reason_of(error)}")
            _remove(base)
            return None
        return base


class Cgroup:
    """The group of one node."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def limit_memory(self, limit: int) -> bool:
        """Set ``memory.max``; whether that is possible here."""
        try:
            (self.path / "memory.max").write_text(str(limit))
        except OSError:
            return False
        with contextlib.suppress(OSError):
            (self.path / "memory.swap.max").write_text("0")
        return True

    def out_of_memory_kills(self) -> int:
        """How many processes of it the kernel has killed for want of memory."""
        return cgroup_paths.memory_kills(self.path / "memory.events")

    def kill(self) -> None:
        """SIGKILL all processes of it, at once."""
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")

    def processes(self) -> list[int]:
        """Process ids in it; zombies are not counted."""
        return [int(pid) for pid in procfs.read(f"{self.path}/cgroup.procs").split()]

    def remove(self) -> None:
        """It is no longer needed; one that still holds a process stays."""
        _remove(self.path)


def _directory_of(node: str) -> str:
    """Begins so that it is none of the files that the kernel puts beside it."""
    return f"node-{file_name(node)}"


def _is_handed_over(group: Path) -> bool:
    """Whether systemd says that the one who runs here may do there as he likes."""
    for attribute in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, attribute) == b"1":
                return True
    return False


def _has_memory(group: Path) -> bool:
    return b"memory" in procfs.read(f"{group}/cgroup.subtree_control").split()


def _try_out(group: Path) -> None:
    """Have a process born in a group, and end there; raises OSError if that cannot be."""
    group.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    try:
        descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            pid = fork(descriptor)
        finally:
            os.close(descriptor)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    finally:
        _remove(group)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
