"""Starts a process that must be limited, or become another user, before it runs, or that has a control group.

With ``posix_spawn`` no code of ours can run before the program does, so this is a real fork.
The child limits itself, becomes the other user, reports through a pipe what took effect, and
executes the program, which closes the pipe. That takes several times as long as
``posix_spawn``, so it is used only for nodes with a user, limits or a control group.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from typing import NoReturn

import msgspec

from zeekfleet.model.launch import Resources
from zeekfleet.stem import resources
from zeekfleet.stem.spawn import Program, Spawn
from zeekfleet.system import privileges, procfs, rlimit_tag
from zeekfleet.system.posix_spawn import execve, fork, ignored_signals

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""Signals that the stem handles: SIGTERM stops its nodes, the others do nothing."""


class _Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line in the pipe: what took effect, or the error that ended the child, and whether it changed its user then."""

    effects: resources.Effects = msgspec.field(default_factory=dict)
    error: int = 0
    becoming: bool = False


class ForkedSpawn(Spawn):
    """A :class:`Spawn` with limits or a control group.

    Args:
        program: what to run.
        limits: the limits that the process sets for itself.
        group: the directory of its control group, if it is to have one.
    """

    def __init__(self, program: Program, limits: Resources = Resources(), group: str | None = None) -> None:  # noqa: B008 - frozen
        super().__init__(program)
        self._user = program.user
        self._limits = limits
        self._group = group

    def _start(self) -> None:
        report, told = os.pipe2(os.O_CLOEXEC)
        with os.fdopen(report, "rb") as reader:
            try:
                pid = self._fork()
                if pid == 0:
                    self._become(told)
            finally:
                os.close(told)
            lines = reader.read().splitlines()
        if not lines:
            os.waitpid(pid, 0)
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), self._group)
        for line in lines:
            words = msgspec.json.decode(line, type=_Told)
            if words.error:
                os.waitpid(pid, 0)
                raise self._not_become(words.error) if words.becoming else self.failure(words.error)
            self.effects |= words.effects
        self.pid = pid
        self.start_time = procfs.start_time(pid)

    def _fork(self) -> int:
        if self._group is None:
            return fork(None)
        descriptor = os.open(self._group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return fork(descriptor)
        finally:
            os.close(descriptor)

    def _become(self, told: int) -> NoReturn:
        """In the child: become the program, or tell why not."""
        number, becoming = errno.EIO, b"false"
        try:
            _forget_signals()
            os.setsid()
            self._take_descriptors()
            if self.tag is not None:
                rlimit_tag.put_on(0, self.tag)
            effects = resources.limit(self._limits)
            if (user := self._user) is not None:
                becoming = b"true"
                kept = privileges.become(user, user.groups, user.capabilities)
                becoming = b"false"
                effects["user"] = " ".join([f"{user.uid}:{user.gid}", *sorted(kept)])
            os.chdir(self.directory)  # after that: it must be a directory that the user may enter
            memory = resources.allowed_memory(self._limits, effects)
            os.write(told, msgspec.json.encode(_Told(effects)) + b"\n")
            # From here on nothing may need memory: argument list and environment were made before.
            if memory is not None and (corrected := resources.limit_memory(memory)):
                os.write(told, msgspec.json.encode(_Told(corrected)) + b"\n")
            number = execve(self.path, self.argv, self.env)
        except OSError as error:
            number = error.errno or number
        except MemoryError:
            number = errno.ENOMEM
        finally:
            os.write(told, b'{"error":%d,"becoming":%s}\n' % (number, becoming))
            os._exit(127)

    def _not_become(self, number: int) -> OSError:
        uid = None if self._user is None else self._user.uid
        return OSError(number, f"it cannot become user {uid}: {os.strerror(number)}")

    def failure(self, number: int) -> OSError:
        """What the system's refusal means."""
        if self._user is None:
            return super().failure(number)
        with privileges.acting_as(self._user):
            try:
                os.stat(self.directory + b"/.")
            except OSError as error:
                return OSError(error.errno, f"{error.strerror}, for user {self._user.uid}", os.fsdecode(self.directory))
        problem = super().failure(number)
        return OSError(number, f"{problem.strerror}, for user {self._user.uid}", problem.filename)

    def _take_descriptors(self) -> None:
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        # A descriptor of ours may have a number that another one is to get: first copy all to higher numbers.
        lowest = 3 + max(self.descriptors)
        copies = {
            theirs: fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, lowest)
            for theirs, ours in {0: nothing, **self.descriptors}.items()
        }
        for theirs, copy in copies.items():
            os.dup2(copy, theirs)


def _forget_signals() -> None:
    """Reset the signals that Python handles or ignores, and unblock all, as a new program expects it."""
    signal.set_wakeup_fd(-1)
    for number in (*HANDLED, *ignored_signals()):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
