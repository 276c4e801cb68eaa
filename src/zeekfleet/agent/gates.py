"""When a group of nodes is up, so that the next one may start.

A hello tells it. With ZeroMQ a logger can say hello only once the manager's
hub runs, which starts after it: there Zeek's own status file tells (zeek-facts).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

from zeekfleet.agent.roster import Roster
from zeekfleet.lifecycle.order import role_of
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_MODIFY, IN_MOVED_TO, Inotify

STATUS_FILE = ".status"
RUNNING = "RUNNING"

Gate = Callable[[NodeConfig], Coroutine[Any, Any, None]]
"""Returns when the node is up, or is known not to come up."""


def hello_gate(roster: Roster) -> Gate:
    """Up is who has said hello."""

    async def wait(config: NodeConfig) -> None:
        await roster.settle((config.name,))

    return wait


def status_gate(roster: Roster) -> Gate:
    """The same, but for loggers: up is whose status file says so."""
    hello = hello_gate(roster)

    async def wait(config: NodeConfig) -> None:
        if role_of(config) is not ClusterRole.LOGGER or config.directory is None:
            return await hello(config)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_status_running(Path(config.directory))),
                group.create_task(roster.settle((config.name,))),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        return None

    return wait


async def _status_running(directory: Path) -> None:
    """Wait until a Zeek's status file says that it runs."""
    changed = asyncio.Event()
    with contextlib.closing(Inotify()) as inotify:
        inotify.watch(directory, IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO)

        def read() -> None:
            for _ in inotify.read():
                changed.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(inotify.fileno(), read)
        try:
            while not _says_running(directory / STATUS_FILE):
                changed.clear()
                await changed.wait()
        finally:
            loop.remove_reader(inotify.fileno())


def _says_running(file: Path) -> bool:
    try:
        return file.read_text(errors="replace").startswith(RUNNING)
    except OSError:
        return False


class StartOrder:
    """Holds back a group of nodes until the one before is up.

    Args:
        gate: tells when a node is up.
        timeout: seconds that a group is waited for at most.
    """

    def __init__(self, gate: Gate, timeout: float) -> None:
        self._gate = gate
        self._timeout = timeout

    async def wait_for(self, configs: Collection[NodeConfig]) -> bool:
        """Wait for all of them; whether they were up in time."""
        try:
            async with asyncio.timeout(self._timeout), asyncio.TaskGroup() as group:
                for config in configs:
                    group.create_task(self._gate(config))
        except TimeoutError:
            return False
        return True
