"""Handles orders, the requests by which a controller changes what runs here (docs/protocol.md, section 6)."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Collection

import msgspec

from zeekfleet.agent.control import SupervisorControl
from zeekfleet.agent.deployment import Deployer
from zeekfleet.agent.dispatch import PING, NodeDispatcher
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.options import AgentOptions
from zeekfleet.agent.progress_timeout import ProgressTimeout
from zeekfleet.agent.results import deploy_results
from zeekfleet.agent.roster import Roster
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.stops import AgentHurry
from zeekfleet.errors import UnansweredError
from zeekfleet.model.management import TIMED_OUT, Configuration, Result
from zeekfleet.planning.deadlines import agent_deadline, agent_stop_deadline
from zeekfleet.transport.service import Context, handler

logger = logging.getLogger(__name__)

PEERS_CONNECT_TIME = 3.0
"""The most seconds that a deployment waits until nodes that have said hello are connected to the others."""

PEERS_ANSWER_TIME = 1.0
"""Seconds that a node then has to say which connections are missing."""

RESPONSE_MARGIN = 0.5
"""Seconds before the deadline that are reserved for the response."""

SUPERSEDED = "a later deployment has taken the place of this one"


class Adoption(enum.Enum):
    """Whether a configuration was adopted, or the agent ran it already."""

    DONE = enum.auto()
    NOT_NEEDED = enum.auto()


class Orders:
    """Handles orders.

    Everything that changes nodes runs in a task of its own, for two reasons. It continues after the deadline, so that
    no configuration is left half applied. And orders take effect in the order in which they came, because tasks start
    in the order in which they are created.

    Args:
        options: the agent's options.
        control: requests to the supervisor.
        roster: the state of the nodes.
        dispatcher: pings nodes.
        deployer: changes what runs.
        notifier: reports failures to the controller.
        tasks: the task group in which that work runs.
        follow: called when other nodes should run than before.
    """

    def __init__(
        self,
        options: AgentOptions,
        control: SupervisorControl,
        roster: Roster,
        dispatcher: NodeDispatcher,
        deployer: Deployer,
        notifier: Notifier,
        *,
        tasks: asyncio.TaskGroup,
        follow: Callable[[], None],
    ) -> None:
        self._options = options
        self._control = control
        self._roster = roster
        self._dispatcher = dispatcher
        self._deployer = deployer
        self._notifier = notifier
        self._tasks = tasks
        self._follow = follow

    @handler
    def welcome(self, request: api.AgentWelcomeRequest, context: Context) -> api.AgentWelcomeResponse:
        """Confirm that this instance is part of the cluster."""
        return api.AgentWelcomeResponse(request.reqid, self._success(request.reqid))

    @handler
    async def stand_by(self, request: api.AgentStandbyRequest, context: Context) -> api.AgentStandbyResponse:
        """Stop all nodes and forget the configuration."""
        if error := await self._tasks.create_task(self._stop_all()):
            return api.AgentStandbyResponse(request.reqid, self._failure(request.reqid, error))
        self._notifier.log("standing by")
        return api.AgentStandbyResponse(request.reqid, self._success(request.reqid))

    @handler
    async def deploy(self, request: api.DeployRequest, context: Context) -> api.DeployResponse:
        """Adopt a configuration; answer when each node is up or has failed, or when the time is over."""
        results = await self._deploy(request)
        _log_outcome(request, results)
        return api.DeployResponse(request.reqid, tuple(results))

    @handler
    async def set_configuration(
        self, request: api.SetConfigurationRequest, context: Context
    ) -> api.SetConfigurationResponse:
        """First generation: adopt a configuration; answer as soon as the supervisor has the nodes."""
        adoption = await self._tasks.create_task(self._apply(request.config, reqid=request.reqid))
        result = self._failure(request.reqid, adoption) if isinstance(adoption, str) else self._success(request.reqid)
        return api.SetConfigurationResponse(request.reqid, result)

    @handler
    async def restart(self, request: api.RestartRequest, context: Context) -> api.RestartResponse:
        """Restart nodes; one result for each node."""
        names = sorted(self._roster.overlap(request.nodes))
        loop = asyncio.get_running_loop()
        outcomes: dict[str, asyncio.Future[Result]] = {name: loop.create_future() for name in names}
        if names and not await self._control.wait_until_back():
            # Do not send requests: a supervisor that came back later would restart nodes although we report failure.
            for name, outcome in outcomes.items():
                outcome.set_result(self._failure("", self._control.away, name))
        elif names:
            self._tasks.create_task(self._deployer.restart(outcomes))
            base, grace = self._options.request_timeout, self._options.grace
            timeout = ProgressTimeout(agent_stop_deadline(len(names), base=base, grace=grace))
            for outcome in outcomes.values():
                outcome.add_done_callback(lambda _: timeout.progressed())
            with contextlib.suppress(TimeoutError):
                async with timeout:
                    with timeout.while_stopping(self._control):
                        await asyncio.wait(outcomes.values())
        results = [
            msgspec.structs.replace(outcome.result(), reqid=request.reqid)
            if outcome.done()
            else self._failure(request.reqid, TIMED_OUT, name)
            for name, outcome in outcomes.items()
        ]
        return api.RestartResponse(request.reqid, tuple(results))

    @handler
    def hurry(self, order: AgentHurry, context: Context) -> None:
        """Kill nodes that are being stopped when their grace is over."""
        self._control.hurry(order.nodes)

    async def _stop_all(self) -> str:
        """Stop all nodes and forget the configuration; returns an error if the supervisor did not answer, or ``""``."""
        try:
            await self._deployer.stand_by()
        except UnansweredError as error:
            return self._control.reason(error)
        return ""

    async def _deploy(self, request: api.DeployRequest) -> list[Result]:
        name = self._options.name
        own = [node.name for node in request.config.nodes if node.instance == name]
        base = self._options.request_timeout
        timeout = ProgressTimeout(agent_stop_deadline(len(own), base=base, grace=self._options.grace))

        def stopped() -> None:
            """All nodes that had to be stopped have ended, so the deadline need not include their grace any more."""
            timeout.progressed(agent_deadline(len(own), base=base))

        work = self._tasks.create_task(
            self._apply(
                request.config,
                request.force,
                reqid=request.reqid,
                unless_running=not request.force,
                on_stopped=stopped,
            )
        )
        watching = asyncio.ensure_future(self._roster.progress(own, timeout.progressed))
        try:
            async with timeout:
                with timeout.while_stopping(self._control):
                    adoption = await asyncio.shield(work)
                match adoption:
                    case str(error):
                        return [self._failure(request.reqid, error)]
                    case Adoption.NOT_NEEDED:
                        logger.info(
                            "already running configuration %s", request.config.id, extra={"config": request.config.id}
                        )
                        return [self._success(request.reqid)]
                await self._roster.wait_until_settled(own)
                await self._await_peers(own, timeout.left - RESPONSE_MARGIN)
        except TimeoutError:
            if work.done() and self._deployer.configuration is not request.config:
                return [self._failure(request.reqid, SUPERSEDED)]  # this is not the nodes' failure
            self._notifier.error(f"configuration {request.config.id} is not all up in time")
            return deploy_results(request.reqid, name, self._roster, own, timed_out=True)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return deploy_results(request.reqid, name, self._roster, own, timed_out=False)

    async def _await_peers(self, names: Collection[str], left: float) -> None:
        """Wait a moment until nodes are connected to the others; then ask the rest which connections are missing."""
        await self._roster.wait_until_connected(names, min(PEERS_CONNECT_TIME, max(0.0, left - PEERS_ANSWER_TIME)))
        if cut_off := {name for name in names if self._roster.cut_off(name)}:
            await self._dispatcher.ask(PING, cut_off, min(PEERS_ANSWER_TIME, max(0.0, left)))

    async def _apply(
        self,
        configuration: Configuration,
        force: bool = False,
        *,
        reqid: str = "",
        unless_running: bool = False,
        on_stopped: Callable[[], None] = lambda: None,
    ) -> Adoption | str:
        """Adopt a configuration; returns the outcome or an error. Never raises: the request may have timed out."""
        try:
            adopted = await self._deployer.apply(
                configuration, force, reqid=reqid, unless_running=unless_running, on_stopped=on_stopped
            )
        except UnansweredError as error:
            self._notifier.error(f"configuration {configuration.id} was not adopted: {error}")
            return self._control.reason(error)
        except Exception:
            logger.exception("configuration %s was not adopted", configuration.id, extra={"config": configuration.id})
            return TIMED_OUT
        finally:
            self._follow()
        return Adoption.DONE if adopted else Adoption.NOT_NEEDED

    def _success(self, reqid: str) -> Result:
        return Result(reqid, instance=self._options.name)

    def _failure(self, reqid: str, error: str, node: str | None = None) -> Result:
        return Result(reqid, False, self._options.name, error=error, node=node)


def _log_outcome(request: api.DeployRequest, results: Collection[Result]) -> None:
    failed = [result for result in results if not result.success]
    nodes = sum(result.node is not None for result in results)
    text = f"{nodes} node{'s' if nodes > 1 else ''} run" if nodes else "nothing had to be done"
    if failed:
        text = "; ".join(f"{result.node or 'all'}: {result.error or 'failed'}" for result in failed)
    facts = {"kind": "deployment", "reqid": request.reqid, "config": request.config.id, "success": not failed}
    level = logging.WARNING if failed else logging.INFO
    if any(result.error == SUPERSEDED for result in failed):
        del facts["kind"]  # operators need to see only the later deployment's outcome
        level = logging.INFO
    logger.log(level, "deployment of configuration %s: %s", request.config.id, text, extra=facts)
