"""The end of a process, whoever's child it is: the kernel tells it by a pidfd."""

from __future__ import annotations

import asyncio


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
