"""Nodes that have been launched, but are not to begin yet.

A real Zeek reads scripts for a third of a second before it does anything else. While it does so, and
the groups before it come up, there is a FIFO in its directory: before any other handler of ``zeek_init``, the script
``zeekfleet-hold.zeek`` opens it, and the kernel has that wait until the agent opens the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

HOLD_FILE = ".hold"
"""The FIFO's name in the node's directory; ``zeekfleet-hold.zeek`` has it, too."""

LINGER = 1.0
"""Seconds that our end stays open: who found the FIFO's name just before it went must find us, too."""

DIRECTORY_MODE = 0o700

_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def hold(directory: Path) -> None:
    """Have the node that is started next in this directory wait until it is released.

    Raises:
        OSError: there can be no FIFO there; the node will not wait.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    release(directory)  # whoever waits already must not wait for a FIFO that has no name any more
    os.mkfifo(directory / HOLD_FILE, 0o600)


def release(directory: Path) -> None:
    """Let the node in this directory begin, as soon as it has read its scripts; one that is not held is left alone."""
    fifo = directory / HOLD_FILE
    try:
        # Without a writer it opens at once, and wakes the one that waits.
        end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            logger.warning("%s cannot be opened: %s", fifo, error.strerror, extra={"error": error.strerror})
        if error.errno in _SHORTAGE:
            # Others that were released return theirs by then; without another try, this one would wait for ever.
            asyncio.get_running_loop().call_later(LINGER, release, directory)
        return
    asyncio.get_running_loop().call_later(LINGER, os.close, end)
    with contextlib.suppress(OSError):
        fifo.unlink()


def release_all(directories: Iterable[Path]) -> None:
    """Let all nodes in these directories begin: whoever held them is no more."""
    for directory in directories:
        release(directory)
