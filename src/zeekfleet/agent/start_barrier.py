"""The start barrier: a node is launched, reads its scripts, and then waits until the agent releases it.

A real Zeek reads scripts for a third of a second before it does anything else. With the barrier it does so while
earlier groups still start. The barrier is a FIFO in the node's directory: the script ``zeekfleet-hold.zeek`` opens it
before any other handler of ``zeek_init`` runs, and the kernel blocks that call until the agent opens the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from zeekfleet.system.privileges import acting_as_owner

logger = logging.getLogger(__name__)

BARRIER_FILE = ".hold"
"""The FIFO's name in the node's directory; ``zeekfleet-hold.zeek`` has the same name."""

LINGER = 1.0
"""Seconds that we keep our end open. A node may have seen the FIFO just before we removed it, and open it only then."""

DIRECTORY_MODE = 0o700

_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def block(directory: Path) -> None:
    """Make the next process that is started in this directory wait until it is released.

    Raises:
        OSError: the FIFO cannot be created; the process will not wait.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    release(directory)  # a process that waits at a former FIFO could not be released once that is replaced
    with acting_as_owner(directory):
        os.mkfifo(directory / BARRIER_FILE, 0o600)


def release(directory: Path) -> None:
    """Let the node in this directory start working once it has read its scripts; does nothing without a barrier."""
    fifo = directory / BARRIER_FILE
    try:
        # With O_NONBLOCK the call returns at once; it wakes a node that waits at the other end.
        with acting_as_owner(directory):
            end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            logger.warning("%s cannot be opened: %s", fifo, error.strerror, extra={"error": error.strerror})
        if error.errno in _SHORTAGE:
            # Try again when the descriptors for other released nodes are closed; else this node would wait for ever.
            asyncio.get_running_loop().call_later(LINGER, release, directory)
        return
    asyncio.get_running_loop().call_later(LINGER, os.close, end)
    with contextlib.suppress(OSError), acting_as_owner(directory):
        fifo.unlink()


def release_all(directories: Iterable[Path]) -> None:
    """Release the nodes in all of these directories: the agent that blocked them has ended."""
    for directory in directories:
        release(directory)
