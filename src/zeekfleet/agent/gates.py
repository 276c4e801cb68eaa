"""When a group of nodes is up, so that the next one may start.

A hello tells it. Hellos of real Zeeks pass through the cluster's pub/sub, which
takes its time to settle; there Zeek's own status file tells first.
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
    """Up is whose status file says so, or who has said hello."""

    async def wait(config: NodeConfig) -> None:
        async with asyncio.TaskGroup() as group:
            signs = statuses.wait_for(config.name), roster.settle((config.name,))
            tasks = [group.create_task(sign) for sign in signs]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    return wait
