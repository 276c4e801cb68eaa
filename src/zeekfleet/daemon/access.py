"""Builds the check of who may connect to a daemon's listeners, from the settings."""

from __future__ import annotations

import functools
import logging
import os
import socket

from zeekfleet.errors import SettingsError
from zeekfleet.security.access import AccessControl, SocketOwner
from zeekfleet.security.users import ServedUsers, gid_named, uid_named
from zeekfleet.security.web_pages import own_names
from zeekfleet.settings import DEFAULT_GROUP, CommonSettings
from zeekfleet.system.socket_owners import Ends, SocketOwners, program_of, program_with
from zeekfleet.system.unix_sockets import unix_peer

logger = logging.getLogger(__name__)


def access_control(common: CommonSettings) -> AccessControl:
    """The check for all listeners of this process. Logs a warning if the kernel cannot tell the owners of connections.

    Raises:
        SettingsError: there is no such user or group.
    """
    owners = SocketOwners()
    if owners.way == "proc":
        logger.warning("the kernel does not answer NETLINK_SOCK_DIAG: owners of connections are read from /proc/net")
    elif not owners.way:
        logger.error(
            "the kernel does not tell the owners of connections, neither by NETLINK_SOCK_DIAG nor by /proc/net:"
            " all TCP connections from this host are refused"
        )
    return AccessControl(served_users(common), own_names(words(common.server_name)), functools.partial(_caller, owners))


def served_users(common: CommonSettings) -> ServedUsers:
    """The users that are served: root, our own user, and those of the settings.

    Raises:
        SettingsError: there is no such user or group.
    """
    uids, gids = {os.geteuid()}, set()
    for name in words(common.allow_user):
        if (uid := uid_named(name)) is None:
            raise SettingsError("common.allow_user", f"there is no user '{name}'")
        uids.add(uid)
    for name in words(common.allow_group):
        gid = gid_named(name)
        if gid is None and name != DEFAULT_GROUP:
            raise SettingsError("common.allow_group", f"there is no group '{name}'")
        if gid is not None:
            gids.add(gid)
    return ServedUsers(frozenset(uids), frozenset(gids))


def words(text: str) -> list[str]:
    """The names in a setting that is a list separated by commas."""
    return [word for part in text.split(",") if (word := part.strip())]


def _caller(owners: SocketOwners, connection: socket.socket) -> SocketOwner | None:
    if connection.family == socket.AF_UNIX:
        pid, uid = unix_peer(connection)
        return SocketOwner(uid, lambda: program_of(pid))
    try:
        ours, theirs = connection.getsockname(), connection.getpeername()
    except OSError:
        return None  # the peer has closed the connection
    # The peer's socket has the same two ends as ours, in reverse.
    owner = owners.owner(Ends(_end(theirs), _end(ours)))
    return None if owner is None else SocketOwner(owner.uid, lambda: program_with(owner))


def _end(address: tuple[str, int]) -> tuple[str, int]:
    """Address and port, without the zone of a link-local address."""
    return address[0].partition("%")[0], address[1]
