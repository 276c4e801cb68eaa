"""Acts with other users' rights: in a child before it executes its program, and in us to access other users' files.

The owner of a directory can put symbolic links and pipes there as traps. So root never uses its own rights for files in
the directory of another user: it acts as that user, and then a trap gives access only to what the user can access
anyway. The user for file accesses (the "file system user", credentials(7)) is a property of each thread; it does not
matter for signals, sockets and processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

from zeekfleet.system import capabilities, core_files

ROOT = 0

_PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 8, 38, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 2, 4
_CAPABILITY_VERSION = 0x20080522
_ASK = 2**32 - 1
"""An id that no user has: ``setfsuid`` refuses it, and returns the present one."""

_library = ctypes.PyDLL(None, use_errno=True)


class Ids(Protocol):
    """The ids of a user and of its group."""

    @property
    def uid(self) -> int: ...

    @property
    def gid(self) -> int: ...


class Owner(NamedTuple):
    """The owner of a file."""

    uid: int
    gid: int


def owner_of(path: Path | str) -> Owner | None:
    """The owner of a file or directory; None if it does not exist. A symbolic link is not followed."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return Owner(found.st_uid, found.st_gid)


@contextlib.contextmanager
def acting_as(user: Ids | None) -> Iterator[None]:
    """Use a user's rights for this thread's file accesses while the context lasts; new files belong to the user.

    Nothing changes if ``user`` is None, or if we are not root. Do not await within the context, and do not start a
    thread: it would act as the user for ever.

    Raises:
        PermissionError: this is not possible; nothing was done.
    """
    if user is None or user.uid == ROOT or os.geteuid() != ROOT:
        yield
        return
    if os.getgroups():
        os.setgroups(())  # root's supplementary groups would still give rights; root does not need them
    group, own = _library.setfsgid(user.gid), _library.setfsuid(user.uid)
    try:
        if _library.setfsuid(_ASK) != user.uid or _library.setfsgid(_ASK) != user.gid:
            raise PermissionError(f"acting as user {user.uid} is not possible: is CAP_SETUID or CAP_SETGID missing?")
        yield
    finally:
        _library.setfsuid(own)
        _library.setfsgid(group)
        core_files.hide_memory()  # the kernel resets this with every change of user


@contextlib.contextmanager
def acting_as_owner(directory: Path | str) -> Iterator[None]:
    """Work with the files in a directory as the user that it belongs to; see :func:`acting_as`.

    The directory itself must be in one of ours, so that nobody else can replace it.
    """
    with acting_as(owner_of(directory)):
        yield


def become(user: Ids, groups: Collection[int], wanted: Collection[str]) -> frozenset[str]:
    """Become a user for good, with some of our capabilities, which the next program has as well (they are "ambient").

    From then on, no program that is executed gains rights, not even a set-user-ID one. Call this in a child with one
    thread.

    Args:
        user: the user to become.
        groups: the supplementary groups.
        wanted: the capabilities to keep.

    Returns:
        The capabilities that were kept.

    Raises:
        OSError: the kernel refuses. Then the process must end, since it may have any mixture of rights.
    """
    kept = capabilities.permitted() & frozenset(wanted)
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups(tuple(groups))
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    _set_capabilities(kept)
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    for name in kept:
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, capabilities.NUMBERS[name])
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return kept


class CommandAs(TypedDict, total=False):
    """Arguments for ``subprocess`` and its like."""

    user: int
    group: int
    extra_groups: tuple[int, ...]


def command_as(user: Ids | None) -> CommandAs:
    """The arguments to run a command with a user's rights; empty to run it with ours, as always if we are not root."""
    if user is None or user.uid == ROOT or os.geteuid() != ROOT:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": ()}


def make_directory(directory: Path, mode: int, user: Ids | None) -> None:
    """Make a directory for a user in a directory of ours, unless it exists.

    Raises:
        OSError: it cannot be made.
    """
    try:
        directory.mkdir(mode)
    except FileExistsError:
        if not directory.is_dir():
            raise
        return
    if user is not None and os.geteuid() == ROOT:
        os.chown(directory, user.uid, user.gid, follow_symlinks=False)


def hand_over(directory: Path, user: Ids) -> None:
    """Give a directory of root, and all files of root in it, to a user. With many files this may take long.

    So far, only root may have been able to write to the directory. The opposite is not safe: a user may have left files
    in a directory that its next owner would execute.

    Raises:
        OSError: it is not a directory, or its owner cannot be changed.
    """
    top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # From the inside out: the user can interfere only when all is done.
        for _, directories, files, inside in os.fwalk(".", dir_fd=top, topdown=False):
            for name in (*directories, *files):  # a link to a directory counts as a directory
                with contextlib.suppress(FileNotFoundError):
                    os.chown(name, user.uid, user.gid, dir_fd=inside, follow_symlinks=False)
            os.fchown(inside, user.uid, user.gid)
    finally:
        os.close(top)


def _set_capabilities(names: Collection[str]) -> None:
    mask = sum(1 << capabilities.NUMBERS[name] for name in names)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    low, high = mask & _ASK, mask >> 32
    # Effective, permitted and inheritable, of the lower and of the higher numbers.
    _check(_library.capset(header, (ctypes.c_uint32 * 6)(low, low, low, high, high, high)))


def _prctl(option: int, *arguments: int) -> None:
    _check(_library.prctl(option, *(ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4])))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
