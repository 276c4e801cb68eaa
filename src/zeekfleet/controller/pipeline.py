"""The steps by which a configuration gets to the agents (docs/protocol.md, section 8), in their order.

========= =================================================== ==========================================
step      what it does                                        what undoes it
========= =================================================== ==========================================
plan      finds out what the configuration changes            nothing was done
meet      connects to its instances, welcomes their agents,   the end of ``Membership.meeting``
          and waits until everybody is there                  forgets instances of a refused deployment,
                                                              and their agents give back others' names
complete  fills in addresses and ports                        nothing was done
check     has the agents look for what would go wrong         nothing was done
adopt     makes these the cluster's instances; agents that    nothing: the end of the meeting now lets go
          leave it stand by                                   of former connections and former agents
hand over gives every agent the configuration                 nothing: agents finish what they begin
keep      stores it as DEPLOYED                               nothing
answer    adds the result that tells the configuration's id   nothing was done
========= =================================================== ==========================================

Each step takes a :class:`Deployment` and gives the next. Whatever fails before ``adopt`` leaves the running cluster as
it is: no agent has been told to stop or to start anything. The instances are met before ports are assigned, because
only their agents know which ports of their hosts are free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from zeekfleet.controller.checking import Checking
from zeekfleet.controller.completion import Completion
from zeekfleet.controller.deployment import Deployment, Step, missing_results
from zeekfleet.controller.fanout import results_of
from zeekfleet.controller.handover import Handover
from zeekfleet.controller.keys import KeyFile
from zeekfleet.controller.membership import Membership
from zeekfleet.controller.presence import Presence
from zeekfleet.controller.staging import Stage
from zeekfleet.errors import ConfigurationError, StoreError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import TIMED_OUT, Configuration, Result
from zeekfleet.planning.layout import spans_hosts
from zeekfleet.store.interface import ConfigState
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""How often a deployment is prepared at most, if instances disconnect while it is being prepared."""

Report = Callable[[Deployment], None]
"""Called with the deployment whenever it begins a step, or waits for other instances than before."""


class Refused(Exception):  # noqa: N818 - an outcome rather than an error
    """The deployment ends at this step; every step may raise this.

    Attributes:
        deployment: the deployment, with the results for the response.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        super().__init__(deployment.reqid)


class Pipeline:
    """Carries deployments out, one at a time.

    ``carry_out`` takes all steps. Each step is a separate method, so that steps can be added between them, and so that
    the first ones can be taken alone.

    Args:
        stage: stores configurations.
        membership: knows which instances are part of the cluster.
        completion: fills in addresses and ports.
        checking: asks agents what would go wrong.
        handover: gives agents configurations.
        keys: has the keys for clusters on several hosts.
        presence: knows about instances that do not answer.
        changed: notified whenever an instance connects, disconnects or becomes ready.
        wait: seconds to wait for missing instances.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        membership: Membership,
        completion: Completion,
        checking: Checking,
        handover: Handover,
        keys: KeyFile,
        presence: Presence,
        changed: Signal,
        wait: float,
    ) -> None:
        self._stage = stage
        self._membership = membership
        self._completion = completion
        self._checking = checking
        self._handover = handover
        self._keys = keys
        self._presence = presence
        self._changed = changed
        self._wait = wait

    async def carry_out(self, deployment: Deployment, report: Report) -> Deployment:
        """Take all steps. Returns the deployment with each agent's results, then its own.

        On success the last result has the configuration's id, and the configuration is stored as DEPLOYED. After a
        time-out, there are the results that arrived, and an error for each missing one.
        """
        try:
            deployment = await self.plan(deployment)
            with self._membership.meeting(deployment.staged.instances) as meeting:
                deployment = await self._prepare(deployment.having(meeting=meeting), report)
                deployment = self.adopt(deployment)
                deployment = await self.hand_over(deployment, report)
                deployment = await self.keep(deployment, report)
            return answer(deployment)
        except Refused as refusal:
            return refusal.deployment

    async def plan(self, deployment: Deployment) -> Deployment:
        """Find out which configuration is deployed now, and how the cluster's instances would change."""
        try:
            former = await self._stage.get(ConfigState.DEPLOYED)
        except StoreError as error:
            raise _not_stored(deployment, error) from None
        planned = deployment.having(former=former, plan=self._membership.plan(deployment.staged))
        logger.debug("deployment %s: %s", planned.reqid, planned.plan, extra={"reqid": planned.reqid})
        return planned

    async def _prepare(self, deployment: Deployment, report: Report) -> Deployment:
        """Meet, complete and check. These steps take time: repeat them if instances have disconnected meanwhile."""
        for _ in range(ATTEMPTS):
            met = await self.meet(deployment, report)
            completed = await self.complete(met, report)
            checked = await self.check(completed, report)
            if not (missing := self._membership.missing(checked.meeting)):
                return checked
        raise _without(deployment.having(missing=missing))

    async def meet(self, deployment: Deployment, report: Report) -> Deployment:
        """Wait until every instance is connected and has answered its welcome."""
        self._membership.welcome_all(deployment.meeting)
        met = deployment.having(step=Step.MEETING, missing=self._membership.missing(deployment.meeting))
        report(met)
        try:
            async with asyncio.timeout(self._wait):
                while met.missing:
                    await self._changed.next()
                    met = met.having(missing=self._membership.missing(met.meeting))
                    report(met)
        except TimeoutError:
            raise _without(met) from None
        return met

    async def complete(self, deployment: Deployment, report: Report) -> Deployment:
        """Fill in addresses and ports, and check that the result could be stored."""
        deployment = deployment.having(step=Step.ASSIGNING)
        report(deployment)
        try:
            completed = await self._completion.complete_with_agents(deployment.staged, deployment.former)
            if not deployment.is_own:  # which is stored already
                await self._stage.check_room(completed)
            return deployment.having(completed=completed, keys=self._keys_for(completed))
        except ConfigurationError as error:
            raise Refused(deployment.failed(*error.errors)) from None
        except StoreError as error:
            raise _not_stored(deployment, error) from None

    def _keys_for(self, configuration: Configuration) -> CurveKeys | None:
        is_wide = spans_hosts(instance.host for instance in configuration.instances)
        return self._keys.keys() if is_wide else None

    async def check(self, deployment: Deployment, report: Report) -> Deployment:
        """Ask every agent what would go wrong with its nodes, if the deployment is to be checked."""
        if not deployment.check:
            return deployment
        deployment = deployment.having(step=Step.CHECKING)
        report(deployment)
        problems = await self._checking.problems(deployment.reqid, deployment.configuration, deployment.former)
        if not problems:
            return deployment
        silent = {one.instance for one in problems if one.instance and one.error == TIMED_OUT}
        missing = {name: self._presence.why_silent(name) for name in silent}
        results = (*problems, *missing_results(deployment.reqid, missing))
        raise Refused(deployment.having(missing=missing, results=results))

    def adopt(self, deployment: Deployment) -> Deployment:
        """Make its instances part of the cluster. From here on the running cluster changes."""
        return deployment.having(meeting=self._membership.adopt(deployment.configuration, deployment.plan))

    async def hand_over(self, deployment: Deployment, report: Report) -> Deployment:
        """Give every agent the configuration, and wait until its nodes are up or have failed."""
        configuration = deployment.configuration
        names = sorted(instance.name for instance in configuration.instances)
        if not names:
            return deployment
        deployment = deployment.having(step=Step.HANDING_OVER)
        report(deployment)
        facts = {"config": configuration.id}
        logger.info("deploying configuration %s to %s", configuration.id, ", ".join(names), extra=facts)
        answers = await self._handover.to_all(names, configuration, deployment.keys)
        results = tuple(results_of(deployment.reqid, answers))
        unanswered = [answer for answer in answers if answer.response is None]
        if not unanswered:
            return deployment.having(results=results)
        missing = {
            answer.instance: self._presence.why_silent(answer.instance)
            for answer in unanswered
            if answer.error == TIMED_OUT
        }
        results += (*missing_results(deployment.reqid, missing), *_deployed_in_part(deployment))
        raise Refused(deployment.having(missing=missing, results=results))

    async def keep(self, deployment: Deployment, report: Report) -> Deployment:
        """Store the configuration as DEPLOYED. It is on disk when this returns."""
        deployment = deployment.having(step=Step.KEEPING)
        report(deployment)
        configuration = deployment.configuration
        facts = {"config": configuration.id}
        try:
            if deployment.former != configuration:
                await self._stage.deployed(configuration)
        except StoreError as error:
            facts["error"] = str(error)
            logger.error("deployed configuration %s could not be kept: %s", configuration.id, error, extra=facts)
            failure = Result(deployment.reqid, False, error=f"deployed, but it could not be kept: {error}")
            raise Refused(deployment.having(results=(*deployment.results, failure))) from None
        logger.info("configuration %s deployed", configuration.id, extra=facts)
        return deployment


def answer(deployment: Deployment) -> Deployment:
    """Add the result that tells the configuration's id."""
    told = Result(deployment.reqid, data=deployment.configuration.id)
    return deployment.having(results=(*deployment.results, told))


def _without(deployment: Deployment) -> Refused:
    """The outcome if instances are still missing after the wait."""
    told = "; ".join(f"{name}: {why}" for name, why in deployment.missing.items())
    facts = {"reqid": deployment.reqid}
    logger.warning("deployment %s: instances are missing: %s", deployment.reqid, told, extra=facts)
    missing = missing_results(deployment.reqid, deployment.missing)
    return Refused(deployment.having(results=(Result(deployment.reqid, False, error=TIMED_OUT), *missing)))


def _not_stored(deployment: Deployment, error: StoreError) -> Refused:
    """The outcome if the store cannot be used: the configuration could not be stored at the end."""
    config = deployment.configuration.id
    facts = {"config": config, "error": str(error)}
    logger.error("configuration %s is not deployed: %s", config, error, extra=facts)
    return Refused(deployment.failed(str(error)))


def _deployed_in_part(deployment: Deployment) -> list[Result]:
    """The result for when some agents run the configuration and others do not. It also says what follows."""
    if deployment.is_own or deployment.former is None:
        return []
    told = (
        f"deployed in part: configuration {deployment.former.id} stays the deployed one, and is deployed again"
        " once all its instances are ready; to keep the new one, deploy it again"
    )
    return [Result(deployment.reqid, False, error=told)]
