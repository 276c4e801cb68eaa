"""Writes the unit of a daemon, and lists the commands that prepare this host for the service."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from pathlib import Path

from zeekfleet.daemon.service_unit import OWN, STATE, Needs
from zeekfleet.errors import UnitFileError
from zeekfleet.security.users import gid_named, groups_of, uid_named

MODE = 0o644


def write_unit(directory: Path, name: str, text: str, *, force: bool) -> bool:
    """Write a unit, completely or not at all. Returns False if it was there already.

    Args:
        directory: the directory for it.
        name: the unit's name.
        text: the unit's text.
        force: replace a unit that differs.

    Raises:
        UnitFileError: there is another one, or it cannot be written.
    """
    path = directory / name
    try:
        if path.is_symlink() or path.exists():
            if not path.is_symlink() and path.read_bytes() == text.encode():
                return False
            if not force:
                raise UnitFileError(
                    f"{path} differs from what would be written, which 'print' shows: --force replaces it"
                )
        temporary = path.with_name(f".{name}.new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, MODE)  # whatever our umask is
            stream.write(text.encode())
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError as error:
        raise UnitFileError(f"{path} cannot be written: {error.strerror}") from None
    return True


def preparations(needs: Needs) -> list[str]:
    """The commands that create what the service needs and what is missing on this host."""
    user, commands = needs.service.user, []
    uid = uid_named(user)
    if uid is None:
        group = f"--gid {user}" if gid_named(user) is not None else "--user-group"
        commands.append(f"useradd --system {group} --home-dir {STATE / OWN} --no-create-home {user}")
    for path in needs.service.writable:
        if not Path(path).is_dir():
            commands.append(shlex.join(("install", "-d", "-m", "0700", "-o", user, path)))
    for path in (str(file) for file in needs.public if not _can_read(file, uid)):
        commands += [shlex.join(("chgrp", _group(user, uid), path)), shlex.join(("chmod", "g+r", path))]
    commands += [shlex.join(("chown", user, str(file))) for file in needs.private if not _can_read(file, uid)]
    return commands


def _can_read(file: Path, uid: int | None) -> bool:
    """Whether a user can read a file, by its mode. ``uid`` is None for a user that does not exist yet."""
    try:
        status = file.stat()
    except OSError:
        return True  # there is no such file, or we cannot look: the daemon will say so
    if uid == 0 or status.st_mode & stat.S_IROTH:
        return True
    if uid is None:
        return False
    if uid == status.st_uid:
        return bool(status.st_mode & stat.S_IRUSR)
    return bool(status.st_mode & stat.S_IRGRP) and status.st_gid in groups_of(uid)


def _group(user: str, uid: int | None) -> str:
    """The user's own group. A user that does not exist yet will get one of the same name."""
    try:
        return user if uid is None else grp.getgrgid(pwd.getpwuid(uid).pw_gid).gr_name
    except KeyError:
        return user
