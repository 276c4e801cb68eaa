"""Files that survive a power failure and that only our user can read, and removal that fails with a log line only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_private(file: Path, content: bytes) -> None:
    """Replace a file by one that only our user can read, completely or not at all.

    The content is written under another name and forced to disk before it is renamed.

    Raises:
        OSError: it cannot be written.
    """
    temporary = file.with_name(f".{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
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
