"""Control groups (version 2) of nodes, where we may make them; everything works without.

A process is born in its group (``clone3`` with ``CLONE_INTO_CGROUP``), so that nothing
it starts can be outside. That takes a real fork, five times as long as ``posix_spawn``;
moving it afterwards would stop the whole loop for some 15 ms. So only nodes that need
a group get one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from zeekfleet.stem import procfs
from zeekfleet.stem.spawn import DIRECTORY_MODE, Outputs, reason_of

_CLONE_INTO_CGROUP = 0x200000000
_SYS_CLONE3 = 435  # the same on all architectures
_ARGUMENT_WORDS = 11


class Cgroups:
    """The groups of one stem, in a group of its own.

    Args:
        tree: names that group.
        log: takes one line if there can be none.
    """

    def __init__(self, tree: str, log: Callable[[str], None]) -> None:
        self._tree = tree
        self._log = log
        self._probed = False
        self._base: Path | None = None

    def of(self, node: str) -> Cgroup | None:
        """The group of a node, made if missing; None if there can be none."""
        if not self._probed:
            self._probed = True
            self._base = self._probe()
        if self._base is None:
            return None
        path = self._base / quote(node, safe="")[:200]
        try:
            path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        except OSError as error:
            self._log(f"no control group for node '{node}': {reason_of(error)}")
            return None
        return Cgroup(path)

    def close(self) -> None:
        """Remove our own group, which has no processes any more."""
        if self._base is not None:
            _remove(self._base)

    def _probe(self) -> Path | None:
        parent = _own_group()
        if parent is None:
            self._log("no control groups: version 2 is not mounted")
            return None
        base = parent / f"zeekfleet-{self._tree}"
        try:
            base.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            for directory in (parent, base):
                # Without the controller a group can still be killed as a whole.
                with contextlib.suppress(OSError):
                    (directory / "cgroup.subtree_control").write_text("+memory")
        except OSError as error:
            self._log(f"no control groups: {reason_of(error)}")
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
        for line in procfs.read(f"{self.path}/memory.events").splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0

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

    def start(self, program: str, argv: tuple[str, ...], env: dict[str, str], outputs: Outputs) -> int:
        """Start a program within it (``spawn.Start``).

        Raises:
            OSError: the system refuses.
            ValueError: a text holds a NUL.
        """
        if any("\0" in text for text in (*argv, *env.keys(), *env.values())):
            raise ValueError("embedded null byte")
        group = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            report, told = os.pipe2(os.O_CLOEXEC)
            try:
                pid = _clone(group)
                if pid == 0:
                    _become(program, argv, env, outputs, told)
            finally:
                os.close(told)
            with os.fdopen(report, "rb") as reader:
                failed = reader.read()
        finally:
            os.close(group)
        if failed:
            os.waitpid(pid, 0)
            number = int(failed)
            raise OSError(number, os.strerror(number), program)
        return pid


def _become(program: str, argv: tuple[str, ...], env: dict[str, str], outputs: Outputs, told: int) -> NoReturn:
    """In the child: become the program, or tell why not."""
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # what Python ignores would stay ignored
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        for theirs, ours in enumerate((nothing, outputs.stdout, outputs.stderr)):
            os.dup2(ours, theirs)
        os.execve(program, argv, env)  # noqa: S606
    except OSError as error:
        os.write(told, str(error.errno).encode())
    finally:
        os._exit(127)


def _clone(group: int) -> int:
    """``fork`` into a control group; we have one thread only."""
    libc = ctypes.PyDLL(None, use_errno=True)
    arguments = (ctypes.c_uint64 * _ARGUMENT_WORDS)()
    arguments[0] = _CLONE_INTO_CGROUP
    arguments[4] = signal.SIGCHLD
    arguments[10] = group
    pid = int(libc.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments)))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "clone3")
    return pid


def _own_group() -> Path | None:
    """The directory of the group that this process is in."""
    mount = next(
        (line.split()[1] for line in procfs.read("/proc/self/mounts").splitlines() if b" cgroup2 " in line), b""
    )
    own = next((line[3:] for line in procfs.read("/proc/self/cgroup").splitlines() if line.startswith(b"0::")), b"")
    return Path(os.fsdecode(mount + own)) if mount and own else None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
