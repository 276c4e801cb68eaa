"""Handing a configuration to agents: once more to one that was lost and comes back before the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import FIRST, Generation
from zeekfleet.controller.fanout import Answer
from zeekfleet.controller.instances import Instances, Known
from zeekfleet.errors import RequestTimeoutError
from zeekfleet.model.management import Configuration, fresh_id
from zeekfleet.transport.endpoint import Endpoint


class Signal:
    """Tells all who wait that something has changed; nobody can miss it between a look and the wait."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake everyone who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def next(self) -> None:
        """Wait for the next change."""
        await self._event.wait()


class Handover:
    """Gives each agent a configuration and gathers the answers.

    Args:
        endpoint: the controller's.
        instances: who is ready.
        changed: notified whenever that changes.
    """

    def __init__(self, endpoint: Endpoint, instances: Instances, changed: Signal) -> None:
        self._endpoint = endpoint
        self._instances = instances
        self._changed = changed

    async def to_all(
        self, names: Iterable[str], configuration: Configuration, timeout: float, prepare: Callable[[str], None]
    ) -> list[Answer]:
        """Each agent's answer, in the order of the names.

        Args:
            names: of ready instances.
            configuration: for them all.
            timeout: seconds for all of it.
            prepare: called with an instance's name ahead of each attempt.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._to_one(name, configuration, deadline, prepare)) for name in names]
        return [task.result() for task in tasks]

    async def _to_one(
        self, name: str, configuration: Configuration, deadline: float, prepare: Callable[[str], None]
    ) -> Answer:
        with suppress(TimeoutError, RequestTimeoutError):
            async with asyncio.timeout_at(deadline):
                while True:
                    known = self._instances.known.get(name) if name in self._instances.ready else None
                    if known is None:
                        await self._changed.next()
                    else:
                        prepare(name)
                        response = await self._attempt(name, known, configuration, deadline)
                        if response is not None:
                            return Answer(name, response)
        return Answer(name, None)

    async def _attempt(self, name: str, known: Known, configuration: Configuration, deadline: float) -> Event | None:
        """One request; None if the agent is lost before it has answered."""
        rest = deadline - asyncio.get_running_loop().time()
        request = _request(configuration, known.generation)
        asking = asyncio.ensure_future(self._answer(name, request, rest, known.generation))
        losing = asyncio.ensure_future(self._lost(name, known))
        try:
            await asyncio.wait({asking, losing}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for task in (asking, losing):
                task.cancel()
            await asyncio.gather(asking, losing, return_exceptions=True)

    async def _answer(self, name: str, request: Event, timeout: float, generation: Generation) -> Event:
        return await self._endpoint.request(topics.agent(name), request, timeout, generation)

    async def _lost(self, name: str, known: Known) -> None:
        while (present := self._instances.known.get(name)) is not None and present.peer == known.peer:
            await self._changed.next()


def _request(configuration: Configuration, generation: Generation) -> Event:
    if generation is FIRST:
        return api.SetConfigurationRequest(fresh_id(), configuration)
    return api.DeployRequest(fresh_id(), configuration)
