"""Whether other users could read or change a file or directory that must be ours alone."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from pathlib import Path

_READ_OR_WRITE = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_WRITE = stat.S_IWGRP | stat.S_IWOTH


def private_file_problem(file: Path) -> str | None:
    """Who else could read or change a file, and the command that mends this; None if nobody could.

    The file may be a symbolic link; what it leads to counts. Whoever may write to its directory could replace it.

    Raises:
        OSError: it cannot be looked at.
    """
    target = file.resolve(strict=True)
    found = target.stat()
    if problem := _owner_problem(target, found):
        return problem
    if found.st_mode & _READ_OR_WRITE:
        return f"{file} can be {_what(found)} by other users: run 'chmod 600 {shlex.quote(str(target))}'"
    return directory_problem(target.parent)


def private_directory_problem(directory: Path) -> str | None:
    """Who else could read or change a directory, and the command that mends this; None if nobody could.

    Raises:
        OSError: it cannot be looked at.
    """
    found = directory.stat()
    if problem := _owner_problem(directory, found):
        return problem
    if found.st_mode & _READ_OR_WRITE:
        return f"directory {directory} can be {_what(found)} by other users: run 'chmod 700 {_quoted(directory)}'"
    return None


def directory_problem(directory: Path) -> str | None:
    """Who else could replace a file of ours in a directory, and the command that mends this; None if nobody could.

    Raises:
        OSError: it cannot be looked at.
    """
    found = directory.stat()
    if problem := _owner_problem(directory, found):
        return problem
    # In a directory such as /tmp, others may add files, but not replace ours.
    if found.st_mode & _WRITE and not found.st_mode & stat.S_ISVTX:
        return f"directory {directory} can be written by other users: run 'chmod go-w {_quoted(directory)}'"
    return None


def state_directory_problem(directory: Path) -> str | None:
    """Who else could put something into a directory of ours, and how to mend this; None if nobody could.

    Unlike :func:`directory_problem`, this refuses a directory such as /tmp as well: it may be empty, and others could
    put files there that we look for. The text is a clause, to be put after the name of the directory.

    Raises:
        OSError: it cannot be looked at.
    """
    found = directory.stat()
    if found.st_uid not in (os.geteuid(), 0):
        return _belongs_to_another(directory, found)
    if not found.st_mode & _WRITE:
        return None
    mend = f"chmod go-w {_quoted(directory)}"
    if found.st_uid != os.geteuid():
        mend = f"chown {os.geteuid()} {_quoted(directory)} && {mend}"  # else we could not write to it either
    return f"it can be written by other users: run '{mend}'"


def _owner_problem(path: Path, found: os.stat_result) -> str | None:
    if found.st_uid in (os.geteuid(), 0):
        return None
    return f"{path} {_belongs_to_another(path, found).removeprefix('it ')}"


def _belongs_to_another(path: Path, found: os.stat_result) -> str:
    return (
        f"it belongs to user {_name_of(found.st_uid)}, and this process to {_name_of(os.geteuid())}:"
        f" run it as the same user, or run 'chown {os.geteuid()} {_quoted(path)}'"
    )


def _what(found: os.stat_result) -> str:
    return "written" if found.st_mode & _WRITE else "read"


def _name_of(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
