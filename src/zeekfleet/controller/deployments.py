"""All deployments: one at a time, clients' in the order of their coming; the controller's own give way to them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress

from zeekfleet.broker import topics
from zeekfleet.controller.deployment import Deployment
from zeekfleet.controller.orders import Order, Step
from zeekfleet.controller.staging import Stage
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.deployments import KEEP, NodeAction, action_text
from zeekfleet.model.management import Result, fresh_id
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.endpoint import Endpoint

logger = logging.getLogger(__name__)

MAX_WAITING = 16
"""Deployments that may wait for their turn."""

HEARTBEAT = 5.0
"""Seconds after which progress is told though nothing has changed: whoever listens knows that it is still awaited."""

NAMED = 6
"""Nodes that a line names."""

PAUSE = 0.2
"""Seconds between two tellings at least, so that thousands of nodes do not cause thousands of them."""


class Deployments:
    """The queue, and what is told of it on ``topics.DEPLOYMENTS``.

    Args:
        endpoint: the controller's.
        deployment: carries out orders.
        stage: knows what is deployed.
        tasks: where work runs.
    """

    def __init__(self, endpoint: Endpoint, deployment: Deployment, stage: Stage, tasks: asyncio.TaskGroup) -> None:
        self.current: Order | None = None
        self._endpoint = endpoint
        self._deployment = deployment
        self._stage = stage
        self._tasks = tasks
        self._waiting: deque[Order] = deque()
        self._work: asyncio.Task[list[Result]] | None = None
        self._again = False
        self._again_after_failure = False
        self._arrived = asyncio.Event()

    @property
    def pending(self) -> str:
        """The request id of a client's deployment that is under way or waits, or ``""``."""
        if self.current is not None and not self.current.is_own:
            return self.current.reqid
        return self._waiting[0].reqid if self._waiting else ""

    async def run(self) -> None:
        """Carry out what is ordered, until cancelled."""
        while True:
            self._arrived.clear()  # before the look: who comes during it is not missed
            order = self._waiting.popleft() if self._waiting else await self._own_order()
            if order is None:
                await self._arrived.wait()
            else:
                await self._carry_out(order)

    def submit(self, order: Order) -> None:
        """Have a client's order carried out when it is its turn; its outcome is in ``order.results``.

        Raises:
            RequestFailedError: too many wait already.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise RequestFailedError(order.reqid, f"too many deployments are waiting ({MAX_WAITING}); try again later")
        if self.current is not None and self.current.is_own and self.current.step is not Step.KEEPING:
            self._again_after_failure = True
            self._give_up(self.current, f"deployment {order.reqid} is wanted instead")
        self._waiting.append(order)
        self._number()
        self._tasks.create_task(self._tell(order))
        self._arrived.set()

    def again(self) -> None:
        """Deploy what is deployed once more, by and by: agents that run it already do nothing.

        Where a client's deployment is under way, only if that fails: what it brings is newer.
        """
        if self.pending:
            self._again_after_failure = True
        else:
            self._again = True
            self._arrived.set()

    def abort(self, reqid: str, by: str) -> str:
        """Give a deployment up: the one of this id, or the present one if ``""``; a sentence on what that means.

        Args:
            reqid: the deployment's.
            by: who wants that, for a person.

        Raises:
            RequestFailedError: there is none, or it is too late.
        """
        present = [order for order in (self.current, *self._waiting) if order is not None]
        order = next((order for order in present if reqid in ("", order.reqid)), None)
        if order is None:
            raise RequestFailedError(
                reqid, f"no deployment {reqid} is under way" if reqid else "no deployment is under way"
            )
        if order.step in (Step.KEEPING, Step.DONE):
            raise RequestFailedError(reqid, f"deployment {order.reqid} is as good as done")
        told = f"deployment {order.reqid} was given up while {_doing(order)}"
        self._give_up(order, f"given up by {by} while {_doing(order)}")
        return f"{told}; {_consequence(order)}"

    def client_gone(self, peer: int) -> None:
        """A client is gone: what waits on its behalf waits no longer, what is being done is done to its end."""
        if not peer:
            return
        for order in [order for order in self._waiting if order.peer == peer]:
            self._give_up(order, "the client that asked for it is gone")
        order = self.current  # type: ignore[assignment]
        if order is not None and order.peer == peer and order.step is Step.MEETING and order.missing:
            self._give_up(order, "the client that asked for it is gone, and instances are missing")

    def _give_up(self, order: Order, why: str) -> None:
        order.given_up = why
        if order in self._waiting:
            self._waiting.remove(order)
            self._finish(order, _given_up(order))
            self._number()
        elif self._work is not None:
            self._work.cancel()

    def _number(self) -> None:
        ahead = 1 if self.current is not None and not self.current.is_own else 0
        for place, order in enumerate(self._waiting, start=ahead):
            if order.place != place:
                order.place = place
                order.moved.set()

    async def _own_order(self) -> Order | None:
        if not self._again:
            return None
        self._again = False
        configuration = await self._stage.get(ConfigState.DEPLOYED)
        if self._waiting:
            self._again_after_failure = True
            return self._waiting.popleft()
        if configuration is None:
            return None
        order = Order(fresh_id(), configuration, is_own=True)
        self._tasks.create_task(self._tell(order))
        logger.info("deploying configuration %s again", configuration.id, extra={"config": configuration.id})
        return order

    async def _carry_out(self, order: Order) -> None:
        self.current = order
        self._number()
        self._work = self._tasks.create_task(self._deployment.carry_out(order))
        await asyncio.wait({self._work})
        results = self._results_of(order, self._work)
        self._work = self.current = None
        succeeded = all(result.success for result in results)
        if not order.is_own:
            self._again = (self._again or self._again_after_failure) and not succeeded
            self._again_after_failure = False
        self._finish(order, results)
        self._number()

    def _results_of(self, order: Order, work: asyncio.Task[list[Result]]) -> list[Result]:
        if work.cancelled():
            return _given_up(order)
        if (error := work.exception()) is not None:
            logger.error("deployment %s failed", order.reqid, exc_info=error, extra={"reqid": order.reqid})
            return [Result(order.reqid, False, error="the controller failed; see its log")]
        return work.result()

    def _finish(self, order: Order, results: list[Result]) -> None:
        outcome = order.outcome(results)
        level = logging.INFO if outcome.success or order.is_own else logging.WARNING
        facts = {"reqid": order.reqid, "config": order.configuration.id, "success": outcome.success}
        # What a client ordered, the client is told; of what we do by ourselves, it is news which nodes were touched.
        changes = [action for action in outcome.actions if action.action != KEEP] if order.is_own else []
        if changes or not (order.is_own and outcome.success):
            facts["kind"] = "deployment"
        told = "success" if outcome.success else "; ".join(outcome.errors)
        if changes:
            told += f" ({_some(changes)})"
        what = "deployed again" if order.is_own else "deployment of"
        logger.log(level, "%s configuration %s: %s", what, order.configuration.id, told, extra=facts)
        order.to(Step.DONE)
        self._endpoint.publish(topics.DEPLOYMENTS, outcome)
        order.results.set_result(results)

    async def _tell(self, order: Order) -> None:
        """Publish its progress until it has an outcome."""
        while not order.results.done():
            order.moved.clear()
            self._endpoint.publish(topics.DEPLOYMENTS, order.progress())
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await order.moved.wait()
            await asyncio.sleep(PAUSE)


def _some(actions: list[NodeAction]) -> str:
    """Such as ``w1 restarted (env), w2 started and 3 more``."""
    told = ", ".join(f"{action.node} {action_text(action)}" for action in actions[:NAMED])
    return told if len(actions) <= NAMED else f"{told} and {len(actions) - NAMED} more"


def _given_up(order: Order) -> list[Result]:
    return [Result(order.reqid, False, error=f"deployment {order.reqid} was {_passive(order.given_up)}")]


def _passive(why: str) -> str:
    return why if why.startswith("given up") else f"given up: {why}"


def _doing(order: Order) -> str:
    awaited = ", ".join(order.missing) if order.step is Step.MEETING else ""
    return f"{order.step.value} {awaited}".strip()


def _consequence(order: Order) -> str:
    if order.touches_nothing:
        return "nothing was changed"
    awaited = order.awaited_nodes()
    count = "1 node was" if len(awaited) == 1 else f"{len(awaited)} nodes were"
    nodes = f" ({count} not up yet)" if awaited else ""
    return f"what its agents have begun goes on{nodes}, and the former configuration stays the deployed one"
