"""Deploying: instances first, then the configuration to all of them at once (protocol section 8)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Set

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.secrets import ClusterKeys
from zeekfleet.broker.generations import SECOND, Generation
from zeekfleet.controller.checking import Checking
from zeekfleet.controller.fanout import TIMED_OUT, results_of
from zeekfleet.controller.handover import Handover, Signal
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.keys import KeyFile
from zeekfleet.controller.staging import Stage
from zeekfleet.errors import RequestTimeoutError, StoreError
from zeekfleet.model.management import Configuration, Instance, Result, fresh_id
from zeekfleet.planning.deadlines import controller_stop_deadline
from zeekfleet.planning.layout import spans_hosts
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.endpoint import Endpoint

logger = logging.getLogger(__name__)


class Deployment:
    """Carries configurations to the agents, one at a time.

    Args:
        endpoint: the controller's.
        instances: the bookkeeping, which this keeps up to date.
        stage: where configurations are kept.
        request_timeout: base of the deadlines, in seconds.
        tasks: where welcomes run.
        on_ready: called when an instance has become ready.
        checking: asks agents before they are sent anything, where that is asked for.
        keys: for clusters on several hosts.

    Attributes:
        pending: the request id of the deployment under way, or ``""``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        instances: Instances,
        stage: Stage,
        request_timeout: float,
        tasks: asyncio.TaskGroup,
        on_ready: Callable[[], None],
        *,
        checking: Checking,
        keys: KeyFile,
    ) -> None:
        self.pending = ""
        self._endpoint = endpoint
        self._instances = instances
        self._stage = stage
        self._timeout = request_timeout
        self._tasks = tasks
        self._on_ready = on_ready
        self._checking = checking
        self._keys = keys
        self._changed = Signal()
        self._handover = Handover(endpoint, instances, self._changed)

    def adopt(self, configuration: Configuration) -> None:
        """Make the configuration's instances the current ones: part with those that left, meet those that came."""
        changes = self._instances.changes(configuration)
        for instance in changes.drop:
            self.drop(instance)
        for instance in changes.add:
            self._add(instance)
        self._instances.configured = {instance.name: instance for instance in configuration.instances}

    def drop(self, instance: Instance) -> None:
        """The instance is not needed: its agent is to stand by."""
        known = self._instances.known.get(instance.name)
        self.stand_by(instance.name, known.generation if known else SECOND)
        self._instances.configured.pop(instance.name, None)
        self._instances.ready.discard(instance.name)
        if instance.listen_port is not None:
            # The order is on its way; the link closes behind it.
            self._endpoint.unpeer(instance.host, instance.listen_port.number)
        self._changed.notify()
        logger.info("dropped instance %s", instance.name)

    def lost(self) -> None:
        """An instance is gone: whoever waits for it should know."""
        self._changed.notify()

    def stand_by(self, name: str, generation: Generation) -> None:
        """Tell an agent to let go of its nodes; no answer is waited for."""
        self._endpoint.publish(topics.agent(name), api.AgentStandbyRequest(""), generation)

    def _add(self, instance: Instance) -> None:
        self._instances.configured[instance.name] = instance
        if instance.listen_port is not None:
            own = (topics.agent(instance.name), topics.secrets(instance.name))
            role = f"the agent of instance {instance.name} at"
            self._endpoint.peer(instance.host, instance.listen_port.number, publish=own, role=role)
        if instance.name in self._instances.known:
            self.welcome(instance.name)

    def welcome(self, name: str) -> None:
        """Tell an agent that it is part of the cluster; it is ready when it has answered."""
        self._tasks.create_task(self._welcome(name))

    async def _welcome(self, name: str) -> None:
        known = self._instances.known.get(name)
        if known is None:
            return
        try:
            response = await self._endpoint.request(
                topics.agent(name), api.AgentWelcomeRequest(fresh_id()), self._timeout, known.generation
            )
        except RequestTimeoutError:
            logger.warning("instance %s does not answer its welcome", name)
            return
        assert isinstance(response, api.AgentWelcomeResponse)  # noqa: S101 - the endpoint pairs them by class
        present = self._instances.known.get(name)
        if not response.result.success or name not in self._instances.configured:
            self.stand_by(name, known.generation)
        elif present is not None and present.peer == known.peer:
            self._instances.ready.add(name)
            logger.info("instance %s ready", name)
            self._changed.notify()
            self._on_ready()

    async def deploy(self, reqid: str, configuration: Configuration, check: bool = False) -> list[Result]:
        """Deploy, and tell each agent's results, then the outcome of all.

        On success the last result carries the configuration's id; it is DEPLOYED and durable then. On a
        time-out the results that came are there, and an error for what did not.

        Args:
            reqid: of the request.
            configuration: with addresses and ports filled in.
            check: have the agents check it first; a problem then leaves the running cluster as it is.
        """
        self.pending = reqid
        try:
            patience = self._timeout
            unchecked = {instance.name for instance in configuration.instances} if check else set()
            if unchecked:
                met, present = self._meet(configuration)
                if not await self._all_ready(present, patience):
                    patience = 0.0  # they have been waited for
                elif problems := await self._checking.problems(reqid, configuration, present):
                    self._withdraw(met)
                    return problems
                unchecked -= present
            self.adopt(configuration)
            if not configuration.instances:
                return await self._finish(reqid, configuration, [])
            if not await self._all_ready(self._instances.configured.keys(), patience):
                missing = sorted(self._instances.configured.keys() - self._instances.ready)
                logger.warning("deployment %s: no word from instances %s in time", reqid, ", ".join(missing))
                return [Result(reqid, False, error=TIMED_OUT)]
            if unchecked and (problems := await self._checking.problems(reqid, configuration, unchecked)):
                return problems
            return await self._send(reqid, configuration)
        finally:
            self.pending = ""

    def _meet(self, configuration: Configuration) -> tuple[list[Instance], set[str]]:
        """Meet the instances that come, while those that leave stay.

        Returns:
            Those that came, and the names of all that can be asked already: all but those that move.
        """
        changes = self._instances.changes(configuration)
        leaving = {instance.name for instance in changes.drop}
        coming = [instance for instance in changes.add if instance.name not in leaving]
        for instance in coming:
            self._add(instance)
        return coming, {instance.name for instance in configuration.instances} - leaving

    def _withdraw(self, met: list[Instance]) -> None:
        """Part with instances that were met in vain; their agents have been told nothing they would have to forget."""
        for instance in met:
            self._instances.configured.pop(instance.name, None)
            self._instances.ready.discard(instance.name)
            if instance.listen_port is not None:
                self._endpoint.unpeer(instance.host, instance.listen_port.number)

    async def _all_ready(self, names: Set[str], timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while not names <= self._instances.ready:
                    await self._changed.next()
        except TimeoutError:
            return False
        return True

    async def _send(self, reqid: str, configuration: Configuration) -> list[Result]:
        configuration = self._instances.with_addresses(configuration)
        names = sorted(self._instances.configured)
        per_instance = Counter(node.instance for node in configuration.nodes)
        timeout = controller_stop_deadline(max(per_instance.values(), default=0), base=self._timeout)
        logger.info("deploying configuration %s to %s", configuration.id, ", ".join(names))
        keys = None
        if spans_hosts(instance.host for instance in configuration.instances):
            try:
                keys = self._keys.keys()
            except StoreError as error:
                return [Result(reqid, False, error=str(error))]

        def hand_out_keys(name: str) -> None:
            # Ahead of the configuration, on the same connection, and so in this order.
            if keys is not None:
                self._endpoint.publish(topics.secrets(name), ClusterKeys(keys))

        answers = await self._handover.to_all(names, configuration, timeout, hand_out_keys)
        results = results_of(reqid, answers)
        if any(answer.response is None for answer in answers):
            return results
        return await self._finish(reqid, configuration, results)

    async def _finish(self, reqid: str, configuration: Configuration, results: list[Result]) -> list[Result]:
        try:
            if await self._stage.get(ConfigState.DEPLOYED) != configuration:
                await self._stage.deployed(configuration)
        except StoreError as error:
            logger.error("deployed configuration %s could not be kept: %s", configuration.id, error)
            return [*results, Result(reqid, False, error=f"deployed, but it could not be kept: {error}")]
        logger.info("configuration %s deployed", configuration.id)
        return [*results, Result(reqid, data=configuration.id)]


def without_id(results: list[Result]) -> list[Result]:
    """The agents' results alone, as the first generation has it."""
    return [result for result in results if result.instance is not None or not result.success]
