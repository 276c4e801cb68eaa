"""Decides which users of this host are served."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Collection

import msgspec

ROOT = 0


def groups_of(uid: int) -> Collection[int]:
    """The ids of a user's groups, from the system's databases; none for a user without an entry."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return ()
    return os.getgrouplist(entry.pw_name, entry.pw_gid)


class ServedUsers(msgspec.Struct, frozen=True):
    """The users that are served; root always is.

    Attributes:
        uids: users that are served.
        gids: groups whose members are served.
        groups_of: gives the groups of a user. It is called at every connection, so that a change takes effect at once.
    """

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()
    groups_of: Callable[[int], Collection[int]] = groups_of

    def admit(self, uid: int) -> bool:
        """Whether a user is served."""
        if uid == ROOT or uid in self.uids:
            return True
        return bool(self.gids) and not self.gids.isdisjoint(self.groups_of(uid))


def uid_named(name: str) -> int | None:
    """A user's id, given its name or number; None if there is no such name."""
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def gid_named(name: str) -> int | None:
    """A group's id, given its name or number; None if there is no such name."""
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def name_of(uid: int) -> str:
    """A user in words, such as ``nobody (65534)``; the number alone if the user has no name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)
