"""Files of our own: only our user can read them, they survive a power failure, and no symbolic link is followed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

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


def write_private(file: Path, content: bytes) -> None:
    """Replace a file by one that only our user can read, completely or not at all.

    The content is written under another name and forced to disk before it is renamed.

    Raises:
        OSError: it cannot be written.
    """
    temporary = file.with_name(f".{file.name}.new")
    with os.fdopen(open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def remove(file: Path, log: Callable[[str], None]) -> None:
    """Remove a file, if there is one. That it cannot be removed is logged: nothing depends on it."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log(f"cannot remove {file}: {error.strerror}")
