"""When a node is up, so that the group after its own may begin: what *up* means is said here, and nowhere else.

A real Zeek is up when its own status file says ``RUNNING``: by then it has run every handler of ``zeek_init``, our
scripts' own included, and takes part in the cluster. A simulated node is up when it has said hello. A node that is
known not to come up holds up nobody either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from zeekfleet.agent.roster import Roster
from zeekfleet.agent.status_files import StatusFiles
from zeekfleet.model.supervisor import NodeConfig

Gate = Callable[[NodeConfig], Coroutine[Any, Any, None]]
"""Returns when the node is up, or is known not to come up."""

MakeGate = Callable[[Roster], Gate]


def hello_gate(roster: Roster) -> Gate:
    """Up is who has said hello."""

    async def wait(config: NodeConfig) -> None:
        await roster.settle((config.name,))

    return wait


def status_gate(roster: Roster, statuses: StatusFiles) -> Gate:
    """Up is whose status file says so; a hello may reach us earlier, or not for a while."""

    async def wait(config: NodeConfig) -> None:
        async with asyncio.TaskGroup() as group:
            signs = statuses.wait_for(config.name), roster.failure_of(config.name)
            tasks = [group.create_task(sign) for sign in signs]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    return wait
