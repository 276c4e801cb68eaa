"""The end of a process, whoever's child it is: the kernel tells it by a pidfd."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path


async def ends(descriptor: int, within: float) -> bool:
    """Wait until the process of a pidfd has ended, for so many seconds; whether it has."""
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
    """Wait until a process, of whoever's, has ended, for so many seconds; whether it has."""
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
        PermissionError: it is another user's, who alone may know.
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
