"""Welcomes agents into the cluster, and tells them to stand by when they are not wanted any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.controller.instances import Instances
from zeekfleet.errors import UnansweredError
from zeekfleet.model.management import fresh_id
from zeekfleet.transport.bus import Bus
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)


class Welcoming:
    """Sends welcomes and notes the answers. An instance is ready once its agent has answered.

    Args:
        bus: the controller's bus.
        instances: the bookkeeping, which this keeps up to date.
        changed: notified whenever an instance becomes ready or refuses.
        timeout: how many seconds an agent has to answer.
        tasks: the group in which welcomes run.
        on_ready: called when the agent of a configured instance has answered.
    """

    def __init__(
        self,
        bus: Bus,
        instances: Instances,
        changed: Signal,
        timeout: float,
        tasks: asyncio.TaskGroup,
        on_ready: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._instances = instances
        self._changed = changed
        self._timeout = timeout
        self._tasks = tasks
        self._on_ready = on_ready
        self._under_way: set[tuple[str, int]] = set()

    def welcome(self, name: str) -> None:
        """Welcome an instance's agent, if it is known. It is welcomed again only if it has not answered before.

        While an instance moves, it may have two agents; then both are welcomed.
        """
        wanted = [found[name] for found in (self._instances.sought, self._instances.configured) if name in found]
        links = {link.peer.id: link for instance in wanted if (link := self._instances.reached(instance)) is not None}
        for link in links.values():
            mark = (name, link.peer.id)
            if not self._instances.is_welcomed(link) and mark not in self._under_way:
                self._under_way.add(mark)
                task = self._tasks.create_task(self._welcome(link))
                task.add_done_callback(lambda _, mark=mark: self._under_way.discard(mark))  # type: ignore[misc]

    def stand_by(self, link: AgentLink | None) -> None:
        """Tell the agent at this link to stop its nodes, without waiting for an answer."""
        if link is not None:
            topic = topics.agent(link.instance.name)
            self._bus.publish(topic, api.AgentStandbyRequest(""), link.generation, to=link.peer)

    async def _welcome(self, link: AgentLink) -> None:
        name = link.instance.name
        request = api.AgentWelcomeRequest(fresh_id())
        try:
            response = await self._bus.request(
                topics.agent(name), request, self._timeout, link.generation, to=link.peer
            )
        except UnansweredError:
            logger.warning("instance %s does not answer its welcome", name, extra={"instance": name})
            return
        if not response.result.success:
            error = response.result.error or "no reason was given"
            facts = {"instance": name, "error": error}
            logger.error("instance %s refuses this controller: %s", name, error, extra=facts)
            self._instances.refused_us(link, error)
            self._changed.notify()
            return
        if name not in self._instances.configured and name not in self._instances.sought:
            self.stand_by(link)  # it is not wanted any more
            return
        self._instances.welcomed(link)
        logger.info("instance %s ready", name, extra={"instance": name})
        self._changed.notify()
        if name in self._instances.ready:
            self._on_ready()
