"""Waits for the end of any process, not only of children, by a pidfd; finds out what a process has open."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path


async def ends(descriptor: int, within: float) -> bool:
    """Wait until the process of a pidfd has ended; False if it takes longer than ``within`` seconds."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(within):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True


async def ended(pid: int, within: float) -> bool:
    """Wait until a process has ended, whoever started it; False if it takes longer than ``within`` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return await ends(descriptor, within)
    finally:
        os.close(descriptor)


def has_open(pid: int, file: Path) -> bool:
    """Whether a process has a file open.

    Raises:
        PermissionError: the process belongs to another user, or has capabilities that we lack.
    """
    wanted = file.stat()
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return False
    for descriptor in descriptors:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(descriptor.stat(), wanted):
                return True
    return False
