"""Starts and restarts nodes group after group, each group when the one before is up."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from zeekfleet.agent.start_barrier import block, release
from zeekfleet.lifecycle.order import start_groups, stop_groups
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.engine import Readiness
from zeekfleet.waiting import in_parallel

logger = logging.getLogger(__name__)

Launch = Callable[[NodeConfig], Coroutine[Any, Any, None]]
"""Has the supervisor start or restart a node; returns when its process runs, or cannot be started."""

HEAD_START = 0.25
"""Seconds before more processes are launched than there are CPUs, so that the first groups read their scripts first."""

Group = Sequence[NodeConfig]


class StartOrder:
    """Lets each group of nodes start working when the group before it is up.

    Args:
        readiness: waits until a node is up.
        timeout: gives the most seconds to wait for one group, for a number of nodes in all groups.
        has_start_barrier: whether nodes wait at a start barrier (``start_barrier.py``). If so, all are launched early:
            they read their scripts while others start, and the order costs no time. If not, a group is launched
            only when the one before is up.
    """

    def __init__(
        self, readiness: Readiness, timeout: Callable[[int], float], *, has_start_barrier: bool = False
    ) -> None:
        self._wait_until_ready = readiness
        self._timeout = timeout
        self._has_start_barrier = has_start_barrier

    async def start(self, configs: Iterable[NodeConfig], launch: Launch) -> None:
        """Start the nodes. If a group takes too long, the next one starts all the same."""
        groups = start_groups(configs)
        if self._has_start_barrier:
            await self._launch_blocked(groups, launch)
            return
        for group, following in pairwise([*groups, ()]):
            await in_parallel(launch(config) for config in group)
            if following:
                await self._wait_for(group, self._timeout(_size(groups)))

    async def restart(self, configs: Iterable[NodeConfig], relaunch: Launch) -> None:
        """Restart the nodes: stop the groups in reverse order, and start them in order.

        If a group takes too long, the next one stops, or starts, all the same. Without a start barrier all nodes are
        restarted at once.
        """
        configs = list(configs)
        if not self._has_start_barrier:
            await in_parallel(relaunch(config) for config in configs)
            return
        groups = start_groups(configs)
        with _released_at_last(groups):
            async with asyncio.TaskGroup() as tasks:
                for group in stop_groups(configs):
                    if group != groups[0]:
                        _block(group)
                    stopping = [tasks.create_task(relaunch(config)) for config in group]
                    await asyncio.wait(stopping, timeout=self._timeout(_size(groups)))
                await self._let_begin(groups)

    def release(self, config: NodeConfig) -> None:
        """Release a node that is about to be stopped, because it ignores SIGTERM while it waits at the barrier."""
        if self._has_start_barrier:
            _release((config,))

    async def _launch_blocked(self, groups: Sequence[Group], launch: Launch) -> None:
        in_order = [config for group in groups for config in group]
        cpus = len(os.sched_getaffinity(0))
        with _released_at_last(groups):
            _block([config for group in groups[1:] for config in group])
            for group in start_groups(in_order[:cpus]):
                await in_parallel(launch(config) for config in group)
            if len(in_order) > cpus and len(groups) > 1:
                await self._up(groups[0], HEAD_START)
            for group in start_groups(in_order[cpus:]):
                await in_parallel(launch(config) for config in group)
            await self._let_begin(groups)

    async def _let_begin(self, groups: Sequence[Group]) -> None:
        for group, following in pairwise(groups):
            await self._wait_for(group, self._timeout(_size(groups)))
            _release(following)

    async def _wait_for(self, group: Group, timeout: float) -> None:
        if not await self._up(group, timeout):
            logger.debug("not all of %s are up yet; going on", ", ".join(config.name for config in group))

    async def _up(self, group: Group, timeout: float) -> bool:
        """Wait until all nodes of the group are up; returns whether they were in time."""
        try:
            async with asyncio.timeout(timeout):
                await in_parallel(self._wait_until_ready(config) for config in group)
        except TimeoutError:
            return False
        return True


def _size(groups: Iterable[Group]) -> int:
    return sum(len(group) for group in groups)


def _block(configs: Iterable[NodeConfig]) -> None:
    for config in configs:
        if config.directory is not None:
            try:
                block(Path(config.directory))
            except OSError as error:
                logger.warning(
                    "node %s cannot wait for the group before it, and starts at once: %s",
                    config.name,
                    error,
                    extra={"node": config.name, "error": str(error)},
                )


def _release(configs: Iterable[NodeConfig]) -> None:
    for config in configs:
        if config.directory is not None:
            release(Path(config.directory))


@contextmanager
def _released_at_last(groups: Iterable[Group]) -> Iterator[None]:
    """Release all nodes on exit, also after an error."""
    try:
        yield
    finally:
        for group in groups:
            _release(group)
