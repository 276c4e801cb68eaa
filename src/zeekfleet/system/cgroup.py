"""One control group (version 2): limit it, kill it, count its processes."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from zeekfleet.system import cgroup_paths, procfs
from zeekfleet.system.posix_spawn import fork


class Cgroup:
    """The group of a node.

    Args:
        path: its directory.
        kills_before: how many of its processes the kernel had killed before the present launch; by default as many as
            up to now.
    """

    def __init__(self, path: Path, kills_before: int | None = None) -> None:
        self.path = path
        self._kills_before = self._kills() if kills_before is None else kills_before

    def limit_memory(self, limit: int) -> bool:
        """Set ``memory.max``; False if that is not possible on this host."""
        try:
            (self.path / "memory.max").write_text(str(limit))
        except OSError:
            return False
        with contextlib.suppress(OSError):
            (self.path / "memory.swap.max").write_text("0")
        return True

    @property
    def was_short_of_memory(self) -> bool:
        """Whether the kernel has killed a process of this launch because memory ran out."""
        return self._kills() > self._kills_before

    def _kills(self) -> int:
        return cgroup_paths.memory_kills(self.path / "memory.events")

    def kill(self) -> None:
        """Send SIGKILL to all processes of the group at once."""
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")

    def processes(self) -> list[int]:
        """The pids of the group's processes, without zombies."""
        return [int(pid) for pid in procfs.read(f"{self.path}/cgroup.procs").split()]

    def remove(self) -> None:
        """Remove the group, unless it still has a process."""
        remove(self.path)


def remove(group: Path) -> None:
    """Remove a group's directory, if it has no processes and no groups in it."""
    with contextlib.suppress(OSError):
        group.rmdir()


def is_handed_over(group: Path) -> bool:
    """Whether systemd has marked a group as delegated: processes in it may create groups below it."""
    for attribute in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, attribute) == b"1":
                return True
    return False


def hands_out_memory(group: Path) -> bool:
    """Whether the memory of groups below this one can be limited."""
    return b"memory" in procfs.read(f"{group}/cgroup.subtree_control").split()


def try_out(group: Path) -> None:
    """Check that a process can be started in a new group, by starting one that ends at once.

    Raises:
        OSError: it cannot.
    """
    group.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            pid = fork(descriptor)
        finally:
            os.close(descriptor)
        if pid == 0:
            os._exit(0)
        if os.waitpid(pid, 0)[1] != 0:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(group))
    finally:
        remove(group)
