"""The queue of deployments: they are carried out one at a time, and followed from the request to the outcome."""

from __future__ import annotations

import asyncio
import logging

from zeekfleet.controller.announcements import announce_outcome, announce_progress, announce_unreadable
from zeekfleet.controller.deployment import Deployment, Step
from zeekfleet.controller.notifications import NotificationKeeper
from zeekfleet.controller.pipeline import Pipeline
from zeekfleet.controller.staging import Stage
from zeekfleet.controller.tracker import Tracker
from zeekfleet.controller.turns import Turns
from zeekfleet.errors import StoreError
from zeekfleet.model.management import fresh_id
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.bus import Bus

logger = logging.getLogger(__name__)


class DeploymentQueue:
    """Takes deployments and lets the pipeline carry them out. :class:`Turns` decides about their order.

    Args:
        bus: where progress and outcomes are published.
        pipeline: carries deployments out.
        stage: has the deployed configuration.
        keeper: stores the outcome of each deployment.
        tasks: the group in which work runs.
    """

    def __init__(
        self,
        bus: Bus,
        pipeline: Pipeline,
        stage: Stage,
        keeper: NotificationKeeper,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._bus = bus
        self._pipeline = pipeline
        self._stage = stage
        self._keeper = keeper
        self._tasks = tasks
        self._turns = Turns()
        self._work: asyncio.Task[Deployment] | None = None
        self._wanted = asyncio.Event()

    @property
    def current(self) -> Tracker | None:
        """The deployment that is being carried out."""
        return self._turns.current

    def in_the_way(self, *, can_wait: bool) -> str:
        """The request id of the pending deployment because of which a new one would be refused now, or ``""``.

        Args:
            can_wait: whether the client of the new one waits as long as there is progress.
        """
        return self._turns.in_the_way(can_wait=can_wait)

    async def run(self) -> None:
        """Carry out deployments until cancelled."""
        while True:
            self._wanted.clear()  # before looking at the queue, to miss no deployment that arrives meanwhile
            if (tracker := await self._next()) is None:
                await self._wanted.wait()
            else:
                await self._carry_out(tracker)

    def submit(self, deployment: Deployment) -> Tracker:
        """Queue a client's deployment.

        Raises:
            RequestFailedError: too many are waiting already.
        """
        tracker = Tracker(deployment)
        if (superseded := self._turns.submit(tracker)) is not None:
            self._give_up(superseded, f"deployment {deployment.reqid} is wanted instead")
        self._tasks.create_task(announce_progress(self._bus, tracker))
        self._wanted.set()
        return tracker

    def deploy_again(self) -> None:
        """Deploy the deployed configuration again once the queue is empty. Agents that run it already do nothing."""
        self._turns.want_own()
        self._wanted.set()

    def abort(self, reqid: str, by: str) -> str:
        """Give a deployment up. Returns a sentence that says what remains changed.

        Args:
            reqid: the id of the deployment's request; ``""`` for the present deployment.
            by: who asks for this, for a person.

        Raises:
            RequestFailedError: there is none, or it is too late.
        """
        tracker = self._turns.find(reqid)
        activity, left = tracker.activity(), tracker.what_giving_up_leaves()
        self._give_up(tracker, f"given up by {by} while {activity}")
        return f"deployment {tracker.deployment.reqid} was given up while {activity}; {left}"

    def client_gone(self, client: int) -> None:
        """The client with this connection has disconnected: give up its deployments that still wait."""
        for tracker, why in self._turns.abandoned(client):
            self._give_up(tracker, why)

    def _give_up(self, tracker: Tracker, why: str) -> None:
        tracker.given_up = why
        if self._turns.leave(tracker):
            self._finish(tracker, tracker.was_given_up())
        elif self._work is not None:
            self._work.cancel()

    async def _next(self) -> Tracker | None:
        if (waiting := self._turns.begin_next()) is not None:
            return waiting
        if not self._turns.take_own():
            return None
        try:
            configuration = await self._stage.get(ConfigState.DEPLOYED)
        except StoreError as error:
            self._turns.want_own()  # so that it is tried again when the next instance or client connects
            announce_unreadable(self._keeper, error)
            return None
        if (waiting := self._turns.begin_next()) is not None:  # a client has asked for a deployment meanwhile
            self._turns.want_own()
            return waiting
        if configuration is None:
            return None
        own = Tracker(Deployment(fresh_id(), configuration, is_own=True))
        self._turns.begin(own)
        self._tasks.create_task(announce_progress(self._bus, own))
        logger.info("deploying configuration %s again", configuration.id, extra={"config": configuration.id})
        return own

    async def _carry_out(self, tracker: Tracker) -> None:
        self._work = self._tasks.create_task(self._pipeline.carry_out(tracker.deployment, tracker.advance))
        await asyncio.wait({self._work})
        deployment, self._work = _outcome(tracker, self._work), None
        self._turns.end(succeeded=deployment.succeeded)
        self._finish(tracker, deployment)

    def _finish(self, tracker: Tracker, deployment: Deployment) -> None:
        ended = deployment.having(step=Step.DONE)
        tracker.advance(ended)
        announce_outcome(self._bus, self._keeper, tracker)
        tracker.ended.set_result(ended)


def _outcome(tracker: Tracker, work: asyncio.Task[Deployment]) -> Deployment:
    if work.cancelled():
        return tracker.was_given_up()
    if (error := work.exception()) is not None:
        reqid = tracker.deployment.reqid
        logger.error("deployment %s failed", reqid, exc_info=error, extra={"reqid": reqid})
        return tracker.deployment.failed("the controller failed; see its log")
    return work.result()
