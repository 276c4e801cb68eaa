"""Acting as other users of this host. Needs root."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def act_as(uid: int, action: Callable[[], str], *, fake_root: bool = False, own_network: bool = False) -> str:
    """What an action gives that a process of this user does, without the rights, groups and files of ours.

    The process is a copy of this one: other users may not be able to run our interpreter.

    Args:
        uid: the user, and the group.
        action: must be done within a minute.
        fake_root: be root in a user namespace of its own.
        own_network: be in a network namespace of its own.

    Raises:
        OSError: there can be no such namespace.
    """
    "localhost".encode("idna")  # what connecting needs to load, another user may not be able to read
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = "failed: "
        try:
            os.close(reading)
            if own_network:
                _leave_network()
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            if fake_root:
                _become_fake_root(uid)
            told = f"done: {action()}"
        except PermissionError as error:
            told = f"refused: {error}"
        except BaseException:
            told += traceback.format_exc()
        finally:
            os.write(writing, told.encode()[:4000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        outcome, _, told = stream.read().decode().partition(": ")
    os.waitpid(child, 0)
    if outcome == "refused":
        raise PermissionError(told)
    assert outcome == "done", told
    return told


def _leave_network() -> None:
    if _libc.unshare(_CLONE_NEWNET):
        raise PermissionError(ctypes.get_errno(), "no network namespace")


def _become_fake_root(uid: int) -> None:
    if _libc.prctl(4, 1, 0, 0, 0) or _libc.unshare(_CLONE_NEWUSER):  # 4: dumpable, so that its own files are its own
        raise PermissionError(ctypes.get_errno(), "no user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {uid} 1")
    os.setresuid(0, 0, 0)
