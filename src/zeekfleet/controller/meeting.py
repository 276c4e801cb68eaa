"""Meeting a configuration's instances before anything is done about it, and parting with those that left it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.controller.dialling import Dialling
from zeekfleet.controller.instances import Instances, Known
from zeekfleet.controller.signal import Signal
from zeekfleet.errors import UnansweredError
from zeekfleet.model.addresses import place
from zeekfleet.model.management import Configuration, Instance, fresh_id
from zeekfleet.transport.endpoint import Endpoint, Peer

logger = logging.getLogger(__name__)


class Meeting:
    """Gets to know the instances of configurations.

    ::

        meet ──> all_met ──> adopt
          └──────> withdraw

    Until :meth:`adopt` the instances of the running cluster stay what they are: configured, ready and connected.

    Args:
        endpoint: the controller's.
        instances: the bookkeeping, which this keeps up to date.
        changed: notified whenever an instance comes, goes or is ready.
        timeout: seconds that an agent has to answer its welcome.
        tasks: where welcomes run.
        on_ready: called when an agent has answered its welcome.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        instances: Instances,
        changed: Signal,
        timeout: float,
        tasks: asyncio.TaskGroup,
        on_ready: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self._instances = instances
        self._changed = changed
        self._timeout = timeout
        self._tasks = tasks
        self._on_ready = on_ready
        self._dialling = Dialling(endpoint)
        self._welcoming: set[tuple[str, int]] = set()
        self._refusals: dict[tuple[str, int], str] = {}

    def meet(self, configuration: Configuration) -> None:
        """Connect to the instances that are to be connected to, and welcome those that are there."""
        self._instances.met = {instance.name: instance for instance in configuration.instances}
        for instance in configuration.instances:
            self._dialling.want(instance)
            self.welcome(instance.name)

    def withdraw(self) -> None:
        """Part with those who were met in vain; they have been told nothing that they would have to forget."""
        met, self._instances.met = self._instances.met, {}
        for instance in met.values():
            self._dialling.let_go(instance)
            if instance.name not in self._instances.configured:
                self._instances.unwelcome(instance.name)

    def adopt(self, configuration: Configuration) -> tuple[Instance, ...]:
        """Make those who were met the current instances: those that left, or moved from another agent, stand by.

        Returns:
            Instances to :meth:`part` with once the new ones have their configuration.
        """
        former = dict(self._instances.configured)
        links = {name: self._instances.known.get(name) for name in former}
        leaving = [instance for instance in former.values() if instance.name not in self._instances.met]
        self._instances.adopt(configuration)
        for name, link in links.items():
            present = self._instances.known.get(name)
            if name not in self._instances.configured:
                logger.info("dropped instance %s", name, extra={"instance": name})
                self.stand_by(name, link)
                self._instances.unwelcome(name)
            elif link is not None and present is not None and not link.is_same_agent(present):
                logger.info(
                    "instance %s has moved from %s to %s",
                    name,
                    link.peer.host,
                    present.peer.host,
                    extra={"instance": name},
                )
                self.stand_by(name, link)
        for instance in leaving:
            self._dialling.let_go(instance)
        self._changed.notify()
        return tuple(instance for instance in former.values() if instance not in leaving)

    def part(self, former: tuple[Instance, ...]) -> None:
        """Let go of connections that the former configuration wanted; those that the new one wants, too, stay."""
        for instance in former:
            self._dialling.let_go(instance)

    def stand_by(self, name: str, link: Known | None) -> None:
        """Have an agent let go of its nodes; no answer is waited for."""
        if link is not None:
            self._endpoint.publish(topics.agent(name), api.AgentStandbyRequest(""), link.generation, to=link.peer)

    def lost(self, peer: Peer) -> None:
        """A connection is gone: what was said on it does not matter any more."""
        self._refusals = {mark: refusal for mark, refusal in self._refusals.items() if mark[1] != peer.id}

    def missing(self) -> dict[str, str]:
        """Who was to be met and has not been, each with what is known of it."""
        return {
            name: self._why_missing(instance)
            for name, instance in sorted(self._instances.met.items())
            if not self._is_met(instance)
        }

    async def all_met(self) -> None:
        """Wait until everybody is known and has answered the welcome."""
        while not all(map(self._is_met, self._instances.met.values())):
            await self._changed.next()

    def welcome(self, name: str) -> None:
        """Tell an agent, where it is known, that it is part of a cluster; it is ready when it has answered."""
        wanted = [found[name] for found in (self._instances.met, self._instances.configured) if name in found]
        links = {link.peer.id: link for instance in wanted if (link := self._instances.reached(instance)) is not None}
        for link in links.values():
            mark = (name, link.peer.id)
            if not self._instances.is_welcomed(link) and mark not in self._welcoming:
                self._welcoming.add(mark)
                task = self._tasks.create_task(self._welcome(link))
                task.add_done_callback(lambda _, mark=mark: self._welcoming.discard(mark))  # type: ignore[misc]

    async def _welcome(self, link: Known) -> None:
        name = link.instance.name
        request = api.AgentWelcomeRequest(fresh_id())
        try:
            response = await self._endpoint.request(
                topics.agent(name), request, self._timeout, link.generation, to=link.peer
            )
        except UnansweredError:
            logger.warning("instance %s does not answer its welcome", name, extra={"instance": name})
            return
        if not response.result.success:
            error = response.result.error or "no reason was given"
            logger.error(
                "instance %s refuses this controller: %s", name, error, extra={"instance": name, "error": error}
            )
            self._refusals[name, link.peer.id] = error
            self._changed.notify()
            return
        self._refusals.pop((name, link.peer.id), None)
        if name not in self._instances.configured and name not in self._instances.met:
            self.stand_by(name, link)
            return
        self._instances.welcomed(link)
        logger.info("instance %s ready", name, extra={"instance": name})
        self._changed.notify()
        if name in self._instances.ready:
            self._on_ready()

    def _is_met(self, instance: Instance) -> bool:
        link = self._instances.reached(instance)
        return link is not None and self._instances.is_welcomed(link)

    def _why_missing(self, instance: Instance) -> str:
        link = self._instances.reached(instance)
        if link is not None:
            refusal = self._refusals.get((instance.name, link.peer.id))
            return f"refuses this controller: {refusal}" if refusal else "does not answer its welcome"
        if instance.name in self._instances.known and instance.listen_port is not None:
            return f"not at {place(str(instance.host), instance.listen_port.number)} yet"
        return self._instances.presence(instance.name)
