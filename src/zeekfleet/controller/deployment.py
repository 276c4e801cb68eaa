"""Carrying a configuration to the agents (docs/protocol.md, section 8): a line of steps, each with what undoes it.

======== ============================================ ==========================================
step     what it does                                 what undoes it
======== ============================================ ==========================================
meet     connects to all instances, welcomes them,    lets go of those that were met in vain
         and waits until everybody is there
assign   fills in ports, now that addresses are known nothing was done
check    has the agents look for what would go wrong  nothing was done
adopt    makes the instances the current ones         nothing: who left has been told to stop
hand     gives every agent the configuration          nothing: agents finish what they began
over
keep     stores it as DEPLOYED                        nothing
======== ============================================ ==========================================

Whatever fails before ``adopt`` leaves the running cluster as it is: no agent
has been told to stop or to start anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack

from zeekfleet.broker import topics
from zeekfleet.broker.events.secrets import ClusterKeys
from zeekfleet.controller.assignment import Assignment
from zeekfleet.controller.checking import Checking
from zeekfleet.controller.fanout import TIMED_OUT, results_of
from zeekfleet.controller.handover import Handover
from zeekfleet.controller.instances import Instances, Known
from zeekfleet.controller.keys import KeyFile
from zeekfleet.controller.meeting import Meeting
from zeekfleet.controller.orders import Order, Step, missing_results
from zeekfleet.controller.presence import Presence
from zeekfleet.controller.signal import Signal
from zeekfleet.controller.staging import Stage
from zeekfleet.errors import ConfigurationError, StoreError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import Configuration, Instance, Result
from zeekfleet.planning.layout import spans_hosts
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.endpoint import Endpoint

logger = logging.getLogger(__name__)

MEETINGS = 5
"""How often instances are waited for that go while a deployment is being prepared."""


class Refused(Exception):  # noqa: N818 - an outcome, which never leaves this module
    """A step found that the deployment must end here.

    Attributes:
        results: what to answer.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = list(results)
        super().__init__(results)


class Deployment:
    """Carries out one order at a time.

    Args:
        endpoint: the controller's.
        instances: who is there.
        stage: where configurations are kept.
        meeting: gets to know instances.
        assignment: fills in ports.
        checking: asks agents what would go wrong.
        handover: gives agents configurations.
        keys: for clusters on several hosts.
        presence: what is known of instances that do not answer.
        changed: notified whenever an instance comes, goes or is ready.
        wait: seconds to wait for instances that are not there.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        instances: Instances,
        stage: Stage,
        *,
        meeting: Meeting,
        assignment: Assignment,
        checking: Checking,
        handover: Handover,
        keys: KeyFile,
        presence: Presence,
        changed: Signal,
        wait: float,
    ) -> None:
        self._endpoint = endpoint
        self._instances = instances
        self._stage = stage
        self._meeting = meeting
        self._assignment = assignment
        self._checking = checking
        self._handover = handover
        self._keys = keys
        self._presence = presence
        self._changed = changed
        self._wait = wait

    async def carry_out(self, order: Order) -> list[Result]:
        """Deploy, and tell each agent's results, then the outcome of all.

        On success the last result carries the configuration's id; it is DEPLOYED and durable then. On a
        time-out the results that came are there, and an error for what did not.
        """
        former: tuple[Instance, ...] = ()
        try:
            with ExitStack() as undo:
                undo.callback(self._meeting.withdraw)
                keys = await self._meet_and_prepare(order)
                undo.pop_all()
            former = self._meeting.adopt(order.configuration)
            results = await self._hand_over(order, keys)
            return await self._keep(order, results)
        except Refused as refusal:
            return refusal.results
        finally:
            self._meeting.part(former)

    async def _meet_and_prepare(self, order: Order) -> CurveKeys | None:
        """Until everybody is there still when all is prepared: preparing takes its time, and instances may go."""
        for _ in range(MEETINGS):
            await self._meet(order)
            keys = await self._prepare(order)
            order.missing = self._meeting.missing()
            if not order.missing:
                return keys
        raise self._without_the_missing(order)

    def _without_the_missing(self, order: Order) -> Refused:
        told = "; ".join(f"{name}: {why}" for name, why in order.missing.items())
        logger.warning("deployment %s: instances are missing: %s", order.reqid, told, extra={"reqid": order.reqid})
        missing = missing_results(order.reqid, order.missing)
        return Refused([Result(order.reqid, False, error=TIMED_OUT), *missing])

    async def _meet(self, order: Order) -> None:
        order.to(Step.MEETING)
        self._meeting.meet(order.configuration)
        order.missing = self._meeting.missing()
        try:
            async with asyncio.timeout(self._wait):
                while order.missing:
                    order.moved.set()
                    await self._changed.next()
                    order.missing = self._meeting.missing()
        except TimeoutError:
            raise self._without_the_missing(order) from None

    async def _prepare(self, order: Order) -> CurveKeys | None:
        """All that can be found out and made ready while nothing is touched."""
        order.to(Step.ASSIGNING)
        try:
            order.configuration = await self._assignment.complete(order.configuration)
            if not order.is_own:  # which is stored already
                await self._stage.check_room(order.configuration)
            keys = self._keys_for(order.configuration)
        except ConfigurationError as error:
            raise Refused([Result(order.reqid, False, error=problem) for problem in error.errors]) from None
        except StoreError as error:
            logger.error(
                "configuration %s is not deployed: %s",
                order.configuration.id,
                error,
                extra={"config": order.configuration.id, "error": str(error)},
            )
            raise Refused([Result(order.reqid, False, error=str(error))]) from None
        if order.check:
            order.to(Step.CHECKING)
            if problems := await self._checking.problems(order.reqid, order.configuration):
                silent = {one.instance for one in problems if one.instance and one.error == TIMED_OUT}
                order.missing = {name: self._presence.why_silent(name) for name in silent}
                raise Refused([*problems, *missing_results(order.reqid, order.missing)])
        return keys

    def _keys_for(self, configuration: Configuration) -> CurveKeys | None:
        is_wide = spans_hosts(instance.host for instance in configuration.instances)
        return self._keys.keys() if is_wide else None

    async def _hand_over(self, order: Order, keys: CurveKeys | None) -> list[Result]:
        names = sorted(self._instances.configured)
        if not names:
            return []
        order.to(Step.HANDING_OVER)
        logger.info(
            "deploying configuration %s to %s",
            order.configuration.id,
            ", ".join(names),
            extra={"config": order.configuration.id},
        )

        def hand_out_keys(link: Known) -> None:
            # Ahead of the configuration, on the same connection, and so in this order.
            if keys is not None:
                self._endpoint.publish(topics.secrets(link.instance.name), ClusterKeys(keys), to=link.peer)

        answers = await self._handover.to_all(names, order.configuration, hand_out_keys)
        results = results_of(order.reqid, answers)
        if any(answer.response is None for answer in answers):
            order.missing = {
                answer.instance: self._presence.why_silent(answer.instance)
                for answer in answers
                if answer.response is None and answer.error == TIMED_OUT
            }
            missing = missing_results(order.reqid, order.missing)
            raise Refused([*results, *missing, *await self._in_part(order)])
        return results

    async def _in_part(self, order: Order) -> list[Result]:
        """That some agents have the configuration and others have not, and what follows."""
        former = await self._stage.get(ConfigState.DEPLOYED)
        if order.is_own or former is None:
            return []
        told = (
            f"deployed in part: configuration {former.id} stays the deployed one, and is deployed again"
            " once all its instances are ready; to keep the new one, deploy it again"
        )
        return [Result(order.reqid, False, error=told)]

    async def _keep(self, order: Order, results: list[Result]) -> list[Result]:
        order.to(Step.KEEPING)
        try:
            if await self._stage.get(ConfigState.DEPLOYED) != order.configuration:
                await self._stage.deployed(order.configuration)
        except StoreError as error:
            logger.error(
                "deployed configuration %s could not be kept: %s",
                order.configuration.id,
                error,
                extra={"config": order.configuration.id, "error": str(error)},
            )
            return [*results, Result(order.reqid, False, error=f"deployed, but it could not be kept: {error}")]
        logger.info("configuration %s deployed", order.configuration.id, extra={"config": order.configuration.id})
        return [*results, Result(order.reqid, data=order.configuration.id)]


def without_id(results: list[Result]) -> list[Result]:
    """The agents' results alone, as the first generation has it."""
    return [result for result in results if result.instance is not None or not result.success]
