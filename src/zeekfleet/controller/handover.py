"""Gives agents a configuration, and gives it again to an agent that is lost and reconnects before its deadline."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Response
from zeekfleet.broker.events.refusals import DeploymentNumber
from zeekfleet.broker.events.secrets import ClusterKeys
from zeekfleet.broker.generations import FIRST
from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.controller.fanout import Answer
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.progress_timeouts import ProgressTimeouts
from zeekfleet.errors import FrameTooLargeError, RequestTimeoutError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import Configuration, fresh_id
from zeekfleet.planning.deadlines import CEILING, MARGIN, controller_stop_deadline
from zeekfleet.transport.bus import Bus
from zeekfleet.waiting import Signal, first_of

LIMIT = CEILING + MARGIN
"""The most seconds to wait for an agent, whatever progress it makes. Agents give up earlier, and report that."""


class Handover:
    """Gives each agent a configuration and gathers the answers.

    Args:
        bus: the controller's bus.
        instances: knows which instances are ready.
        changed: notified whenever that changes.
        timeouts: renewed when an instance makes progress.
        request_timeout: the base of the deadlines, in seconds.
    """

    def __init__(
        self, bus: Bus, instances: Instances, changed: Signal, timeouts: ProgressTimeouts, request_timeout: float
    ) -> None:
        self._bus = bus
        self._instances = instances
        self._changed = changed
        self._base = request_timeout
        self._timeouts = timeouts
        self._asked: set[str] = set()
        self._number = 0

    async def to_all(
        self, names: Iterable[str], configuration: Configuration, keys: CurveKeys | None = None
    ) -> list[Answer]:
        """Each agent's answer, in the order of the names; each agent is waited for while it makes progress.

        Args:
            names: the names of ready instances.
            configuration: the configuration for all of them.
            keys: the keys for the cluster's nodes, sent before the configuration; None if they need none.
        """
        self._number += 1
        nodes = Counter(node.instance for node in configuration.nodes)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(
                        self._to_one(name, configuration, keys, controller_stop_deadline(nodes[name], base=self._base))
                    )
                    for name in names
                ]
        finally:
            self._asked.clear()
        return [task.result() for task in tasks]

    def has_asked(self, reqid: str) -> bool:
        """Whether the request with this id has given an agent the present configuration."""
        return reqid in self._asked

    async def _to_one(self, name: str, configuration: Configuration, keys: CurveKeys | None, patience: float) -> Answer:
        try:
            async with self._timeouts.on(name, patience, LIMIT):
                return await self._until_answered(name, configuration, keys)
        except (TimeoutError, RequestTimeoutError):
            return Answer(name, None)
        except FrameTooLargeError as error:
            return Answer(name, None, str(error))

    async def _until_answered(self, name: str, configuration: Configuration, keys: CurveKeys | None) -> Answer:
        while True:
            known = self._instances.known.get(name)
            if known is None or not self._instances.is_welcomed(known):
                await self._changed.next()
                continue
            if keys is not None:
                # Sent before the configuration on the same connection, so that the keys arrive first.
                self._bus.publish(topics.secrets(name), ClusterKeys(keys), to=known.peer)
            response = await self._attempt(name, known, configuration)
            if response is not None:
                return Answer(name, response)

    async def _attempt(self, name: str, known: AgentLink, configuration: Configuration) -> Response | None:
        """Send one request; None if the agent disconnects before it has answered."""
        return await first_of(self._answer(name, known, configuration), self._lost(name, known))

    async def _answer(self, name: str, known: AgentLink, configuration: Configuration) -> Response:
        reqid = fresh_id()
        self._asked.add(reqid)
        request: api.SetConfigurationRequest | api.DeployRequest = (
            api.SetConfigurationRequest(reqid, configuration)
            if known.generation is FIRST
            else api.DeployRequest(reqid, configuration)
        )
        if isinstance(request, api.DeployRequest):
            # The number lets the agent recognize an older deployment that arrives after this one.
            number = DeploymentNumber(reqid, self._bus.id, self._number)
            self._bus.publish(topics.agent(name), number, to=known.peer)
        return await self._bus.request(topics.agent(name), request, LIMIT, known.generation, to=known.peer)

    async def _lost(self, name: str, known: AgentLink) -> None:
        while (present := self._instances.known.get(name)) is not None and present.peer == known.peer:
            await self._changed.next()
