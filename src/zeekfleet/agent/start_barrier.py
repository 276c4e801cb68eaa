"""The start barrier: a node is launched, reads its scripts, and then waits until the agent lets it begin.

A real Zeek reads scripts for a third of a second before it does anything else. It can do so while the groups before it
come up. The barrier is a FIFO in the node's directory: the script ``zeekfleet-hold.zeek`` opens it before any other
handler of ``zeek_init`` runs, and the kernel blocks that call until the agent opens the other end.
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

BARRIER_FILE = ".hold"
"""The FIFO's name in the node's directory; ``zeekfleet-hold.zeek`` has the same name."""

LINGER = 1.0
"""Seconds that our end stays open: a node that looked the FIFO up just before we removed it may open it only now."""

DIRECTORY_MODE = 0o700

_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def block(directory: Path) -> None:
    """Make the node that is started next in this directory wait until it is released.

    Raises:
        OSError: the FIFO cannot be made; the node will not wait.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    release(directory)  # a process that waits at a former FIFO could not be reached once that has no name
    os.mkfifo(directory / BARRIER_FILE, 0o600)


def release(directory: Path) -> None:
    """Let the node in this directory begin as soon as it has read its scripts; do nothing if it does not wait."""
    fifo = directory / BARRIER_FILE
    try:
        # Opened like this, the call returns at once, and wakes the node that waits.
        end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            logger.warning("%s cannot be opened: %s", fifo, error.strerror, extra={"error": error.strerror})
        if error.errno in _SHORTAGE:
            # By then the descriptors of other released nodes are closed. Without another try, this node would wait for
            # ever.
            asyncio.get_running_loop().call_later(LINGER, release, directory)
        return
    asyncio.get_running_loop().call_later(LINGER, os.close, end)
    with contextlib.suppress(OSError):
        fifo.unlink()


def release_all(directories: Iterable[Path]) -> None:
    """Let all nodes in these directories begin: the agent that blocked them has ended."""
    for directory in directories:
        release(directory)
