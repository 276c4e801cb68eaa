"""Files of our own: only our user can read them, they survive a power failure, and no symbolic link is followed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MODE = 0o600


def open_own(path: Path | str, flags: int) -> int:
    """A descriptor of a file of ours, which is made with mode 0600 if the flags say so.

    Raises:
        OSError: it cannot be opened. For a symbolic link, the text says that it is one.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.islink(path):  # noqa: PTH114 - the path may be a text
            raise OSError(errno.ELOOP, "it is a symbolic link, which is not followed here", str(path)) from None
        raise


def open_regular(file: Path | str) -> BinaryIO:
    """Open a regular file to read that somebody else may have made.

    A pipe in its place does not hold us up, and a symbolic link is not followed.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    stream = os.fdopen(open_own(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb")
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise OSError(errno.EINVAL, "it is no regular file", str(file))


def read_regular(file: Path | str, limit: int) -> bytes:
    """The beginning of such a file (:func:`open_regular`), at most ``limit`` bytes.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_regular(file) as stream:
        return stream.read(limit)


def write_private(file: Path, content: bytes, like: os.stat_result | None = None) -> None:
    """Replace a file by one that only our user can read, completely or not at all.

    The content is written under another name and forced to disk before it is renamed.

    Args:
        file: the file.
        content: all of it.
        like: whose owner, group and mode it gets instead.

    Raises:
        OSError: it cannot be written.
    """
    _draft(file, content, like).replace(file)


def create_private(file: Path, content: bytes) -> None:
    """Like :func:`write_private`, but never in place of a file that is there.

    Raises:
        FileExistsError: there is one, or a symbolic link.
        OSError: it cannot be written.
    """
    draft = _draft(file, content)
    try:
        file.hardlink_to(draft)
    finally:
        draft.unlink()


def make_private_directory(directory: Path) -> None:
    """Make a directory, and those above it that are missing, accessible for our user only.

    Raises:
        OSError: it cannot be made, or something else has its name.
    """
    for each in (*reversed(directory.parents), directory):
        each.mkdir(mode=0o700, exist_ok=True)


def sync_directory(directory: Path) -> None:
    """Force the names of a directory's files to disk: without this, a power failure may bring the former ones back.

    Raises:
        OSError: it cannot be done.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(file: Path, log: Callable[[str], None]) -> None:
    """Remove a file, if there is one. That it cannot be removed is logged: nothing depends on it."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log(f"cannot remove {file}: {error.strerror}")


def _draft(file: Path, content: bytes, like: os.stat_result | None = None) -> Path:
    """A new file beside this one, with this content."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    # A file or link that has this name already is not ours: with O_EXCL, it is not written to.
    descriptor = open_own(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if like is not None:
                if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
    except BaseException:
        draft.unlink()  # a partial file may take the last room on the disk
        raise
    return draft
