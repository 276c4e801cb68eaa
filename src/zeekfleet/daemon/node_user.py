"""Finds the user that nodes run as, if it is not our own, and gives it access to the directories of its nodes."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import shlex
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

import zeekfleet
from zeekfleet.daemon.directories import prepare
from zeekfleet.errors import SettingsError, StateDirectoryError
from zeekfleet.model.launch import Account
from zeekfleet.model.names import LOG_QUEUE, NODES
from zeekfleet.node.engine import Engine
from zeekfleet.security.users import gid_named, name_of, uid_named
from zeekfleet.settings import SupervisorSettings
from zeekfleet.supervisor import Supervisor
from zeekfleet.system import capabilities, privileges
from zeekfleet.system.privileges import acting_as, owner_of

logger = logging.getLogger(__name__)

KEY, GROUP_KEY = "supervisor.node_user", "supervisor.node_group"

FOR_TRAFFIC = ("CAP_NET_ADMIN", "CAP_NET_RAW")
"""The capabilities that a node needs to read live traffic."""

NEEDED = frozenset({"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_PTRACE"})
"""The capabilities that we need: to change owners of directories, to access files of all users, to run programs as
other users, and to recognize and end these programs."""

_ENTER_AS_GROUP = stat.S_IXGRP


def node_user(own: SupervisorSettings) -> Account | None:
    """The user that nodes run as, without any capability; None if they run as we do.

    Raises:
        SettingsError: there is no such user or group, or we cannot run anything as that user.
    """
    if not own.node_user:
        if own.node_group:
            raise SettingsError(GROUP_KEY, "does not apply: it only counts where supervisor.node_user is given")
        return None
    uid = uid_named(own.node_user)
    if uid is None:
        raise SettingsError(KEY, f"there is no user '{own.node_user}'")
    if os.geteuid() != privileges.ROOT:
        raise SettingsError(
            KEY, f"only root can run nodes as another user, and this process is of user {name_of(os.geteuid())}"
        )
    if uid == privileges.ROOT:
        raise SettingsError(KEY, "nodes run as root if this is left out")
    if lacking := sorted(NEEDED - capabilities.effective()):
        raise SettingsError(KEY, f"nodes cannot run as another user: this process lacks {', '.join(lacking)}")
    return _account(uid, own.node_group)


def _account(uid: int, group: str) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        entry = None
    gid = gid_named(group) if group else None if entry is None else entry.pw_gid
    if gid is None:
        what = f"there is no group '{group}'" if group else f"user {uid} has no entry, and so no group: name one"
        raise SettingsError(GROUP_KEY, what)
    groups = () if entry is None else os.getgrouplist(entry.pw_name, gid)
    return Account(uid, gid, tuple(sorted(set(groups) - {gid})))


def of_node(account: Account, *, looks_at_traffic: bool) -> Account:
    """The user as which one node runs."""
    return msgspec.structs.replace(account, capabilities=FOR_TRAFFIC if looks_at_traffic else ())


def variables(account: Account) -> dict[str, str]:
    """The variables that tell a program its user; none for a user without an entry in the system's database."""
    try:
        entry = pwd.getpwuid(account.uid)
    except KeyError:
        return {}
    return {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}


def let_in(account: Account, state: Path, spool: Path, needed: Iterable[Path] = ()) -> None:
    """Give the user access to its nodes' directories, and make it the owner of the queue of rotated logs.

    Args:
        account: the user.
        state: the state directory, whose lock we hold.
        spool: the spool directory.
        needed: further files and directories that its nodes need.

    Raises:
        SettingsError: something is out of the user's reach.
        StateDirectoryError: a directory cannot be made or changed.
    """
    queue = spool / LOG_QUEUE
    for directory in (state, prepare(state / NODES, state), prepare(spool)):
        open_to_group(directory, account)
    try:
        privileges.make_directory(queue, 0o700, account)
        if owner_of(queue) != (account.uid, account.gid):
            os.chown(queue, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:
        raise StateDirectoryError(queue, error.strerror or str(error)) from None
    check_reach(account, (state / NODES, queue, *needed))


def programs_of(engine: Engine) -> tuple[Path, ...]:
    """The files that nodes of an engine need: the program, our own code, and the library that simulated nodes use."""
    program = Path(engine.program or sys.executable)
    return (program, *map(Path, zeekfleet.__path__), *map(Path, msgspec.__path__))


def warn_of_others(supervisor: Supervisor, account: Account | None) -> None:
    """Log which nodes were found running as another user than the settings say."""
    if others := supervisor.run_by_others(os.geteuid() if account is None else account.uid):
        logger.warning(
            "these nodes run on as another user than supervisor.node_user says, until all are stopped"
            " ('zeekfleet stop') and started again: %s",
            ", ".join(sorted(others)),
        )


def open_to_group(directory: Path, account: Account) -> None:
    """Let the user's group pass through a directory of ours, unless the user can already. It cannot list its files.

    Raises:
        StateDirectoryError: that is not possible.
    """
    if not _enters(account, directory):
        try:
            mode = stat.S_IMODE(directory.stat().st_mode)
            os.chown(directory, -1, account.gid)
            directory.chmod(mode & ~stat.S_IRWXG | _ENTER_AS_GROUP)
        except OSError as error:
            raise StateDirectoryError(directory, error.strerror or str(error)) from None


def open_socket(path: Path, account: Account) -> None:
    """Let the user's group connect to a socket in a directory of ours, and pass through that directory.

    Raises:
        StateDirectoryError: that is not possible.
    """
    open_to_group(path.parent, account)
    try:
        os.chown(path, -1, account.gid, follow_symlinks=False)
        path.chmod(0o660)
    except OSError as error:
        raise StateDirectoryError(path.parent, error.strerror or str(error)) from None


def check_reach(account: Account, places: Iterable[Path]) -> None:
    """Check that the user can reach each of these files and directories.

    Raises:
        SettingsError: it cannot reach one of them.
    """
    for place in places:
        for directory in (*reversed(place.parents), *reversed(place.resolve().parents)):
            if not _enters(account, directory):
                raise SettingsError(
                    KEY,
                    f"user {name_of(account.uid)} cannot enter directory {directory}, where its nodes need {place}:"
                    f" run 'chmod o+x {shlex.quote(str(directory))}', or have that file or directory elsewhere",
                )


def _enters(account: Account, directory: Path) -> bool:
    with acting_as(account), contextlib.suppress(OSError):
        os.stat(f"{directory}/.")  # noqa: PTH116 - Path would leave out the dot, which makes the difference
        return True
    return False
