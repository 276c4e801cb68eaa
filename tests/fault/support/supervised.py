"""What a Supervisor in the test's own process knows and tells of its nodes."""

# Files and control groups tell nobody when they change.
# ruff: noqa: ASYNC110

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zeekfleet.model.supervision import NodeDetails
from zeekfleet.supervisor import NodeExit, Supervisor

DEADLINE = 30.0


class Ends:
    """The ends that a Supervisor tells."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.all: list[NodeExit] = []
        self._news = asyncio.Event()
        supervisor.on_node_exit(self._note)

    def _note(self, exit_: NodeExit) -> None:
        self.all.append(exit_)
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def first(self) -> NodeExit:
        await self.until(lambda: self.all)
        return self.all[0]


async def until(condition: Callable[[], object]) -> None:
    """For what nobody tells."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


def details(supervisor: Supervisor, name: str = "a") -> NodeDetails:
    return supervisor.details(name)[name]


def pid_of(supervisor: Supervisor, name: str = "a") -> int:
    pid = details(supervisor, name).pid
    assert pid is not None
    return pid
