"""The controller's requests, and how the agent answers them (docs/protocol.md, section 6)."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import time
from collections.abc import Awaitable, Callable, Collection

import msgspec

from zeekfleet.agent.check import ConfigurationCheck
from zeekfleet.agent.control import SupervisorControl
from zeekfleet.agent.deployment import Deployer
from zeekfleet.agent.diagnosis import Historian
from zeekfleet.agent.dispatch import PING, NodeDispatcher
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.options import AgentOptions
from zeekfleet.agent.patience import Patience
from zeekfleet.agent.results import TIMED_OUT, deploy_results, dispatch_results, node_statuses, unanswered
from zeekfleet.agent.roster import Roster
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import checks as check_api
from zeekfleet.broker.events import details as details_api
from zeekfleet.broker.events import releases as releases_api
from zeekfleet.broker.events import stops as stops_api
from zeekfleet.broker.events.base import Event, Request
from zeekfleet.broker.generations import FIRST
from zeekfleet.errors import UnansweredError
from zeekfleet.lifecycle.outlook import clock_text
from zeekfleet.model.dispatches import MISSING_PEERS, NET_STATS, PEER_STATS
from zeekfleet.model.enums import State
from zeekfleet.model.management import Configuration, Result
from zeekfleet.planning.deadlines import agent_deadline, agent_stop_deadline
from zeekfleet.release import part
from zeekfleet.transport.endpoint import Delivery, Endpoint

logger = logging.getLogger(__name__)

PATIENCE_FOR_PEERS = 3.0
"""Seconds that a deployment waits at most until nodes that have said hello are connected to the others."""

NEWS = 1.0
"""Seconds that a node is given to say who is still missing."""

TO_ANSWER = 0.5
"""Seconds that are left for the answer then."""

AWAY_PATIENCE = 1.0
"""Seconds that a view waits for a supervisor that is away: one that is started anew is back by then."""

Handler = Callable[[Delivery], Awaitable[None]]


ORDERS = (
    api.AgentWelcomeRequest,
    api.AgentStandbyRequest,
    api.DeployRequest,
    api.SetConfigurationRequest,
    api.RestartRequest,
    stops_api.AgentHurry,
)
"""What only the controller may say that an agent serves."""

READING = ("get_id_value", NET_STATS, PEER_STATS, MISSING_PEERS)
"""Actions of dispatches that change nothing."""

SUPERSEDED = "a later deployment has taken the place of this one"

TOLD_MAX = 1000
"""Refusals that are remembered, so that each is told once."""


class Adoption(enum.Enum):
    """What became of an order to adopt a configuration."""

    DONE = enum.auto()
    NOT_NEEDED = enum.auto()


class Work(msgspec.Struct, frozen=True):
    """What does the work that requests ask for."""

    control: SupervisorControl
    roster: Roster
    dispatcher: NodeDispatcher
    deployer: Deployer
    check: ConfigurationCheck | None
    historian: Historian
    notifier: Notifier


class Requests:
    """Answers requests.

    Args:
        options: the agent's.
        endpoint: where answers go.
        work: what does it.
        tasks: where work goes on that has outlived its request.
        follow: called when what should run has changed.
    """

    def __init__(
        self,
        options: AgentOptions,
        endpoint: Endpoint,
        work: Work,
        tasks: asyncio.TaskGroup,
        follow: Callable[[], None],
    ) -> None:
        self._options = options
        self._endpoint = endpoint
        self._control = work.control
        self._roster = work.roster
        self._dispatcher = work.dispatcher
        self._deployer = work.deployer
        self._check = work.check
        self._historian = work.historian
        self._notifier = work.notifier
        self._tasks = tasks
        self._follow = follow
        self._told: set[tuple[str, str]] = set()
        self._handlers: dict[type[Event], Handler] = {
            api.AgentWelcomeRequest: self._welcome,
            api.AgentStandbyRequest: self._standby,
            api.DeployRequest: self._deploy,
            api.SetConfigurationRequest: self._set_configuration,
            api.GetNodesRequest: self._get_nodes,
            api.NodeDispatchRequest: self._node_dispatch,
            api.RestartRequest: self._restart,
            check_api.AgentCheckRequest: self._check_configuration,
            check_api.AgentPortsRequest: self._taken_ports,
            details_api.AgentStatusRequest: self._status,
            details_api.AgentDiagnosisRequest: self._diagnosis,
            stops_api.AgentHurry: self._hurry,
            releases_api.AgentReleasesRequest: self._releases,
        }

    def handler_of(self, event: Event) -> Handler | None:
        """What answers this event, or None if it is no request."""
        return self._handlers.get(type(event))

    def is_order(self, event: Event) -> bool:
        """Whether this is for the agent's own controller to say: it changes something, or leads to that."""
        if isinstance(event, api.NodeDispatchRequest):
            return not event.action or event.action[0] not in READING
        return isinstance(event, ORDERS)

    def refuse(self, delivery: Delivery, reason: str) -> None:
        """Answer an order that is not carried out, to whoever gave it, and say so."""
        event, name, place = delivery.event, self._options.name, delivery.peer.place
        level = logging.DEBUG if (place, reason) in self._told else logging.ERROR
        who = f"'{delivery.peer.name}' at {place}" if delivery.peer.name else place
        logger.log(
            level,
            "orders of %s are refused: instance %s: %s",
            who,
            name,
            reason,
            extra={"instance": name, "error": reason},
        )
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told.add((place, reason))
        if not isinstance(event, Request) or not event.reqid:
            return
        answer = event.response.failure(event.reqid, f"instance '{name}': {reason}", name)
        if answer is not None:
            self._endpoint.publish(delivery.topic, answer, delivery.generation, to=delivery.peer)

    def _result(self, reqid: str) -> Result:
        return Result(reqid, instance=self._options.name)

    async def _welcome(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, api.AgentWelcomeRequest)  # noqa: S101 - the handlers are found by class
        reqid = delivery.event.reqid
        self._endpoint.reply(delivery, api.AgentWelcomeResponse(reqid, self._result(reqid)))

    async def _standby(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, api.AgentStandbyRequest)  # noqa: S101
        reqid = delivery.event.reqid
        result = self._result(reqid)
        # In a task like deployments, so that orders are carried out as they came.
        if error := await self._tasks.create_task(self._stand_by()):
            result = msgspec.structs.replace(result, success=False, error=error)
        else:
            self._notifier.log("standing by")
        self._endpoint.reply(delivery, api.AgentStandbyResponse(reqid, result))

    async def _stand_by(self) -> str:
        """Why the supervisor does not answer; ``""`` if it does."""
        try:
            await self._deployer.stand_by()
        except UnansweredError as error:
            return self._unanswered(error)
        return ""

    async def _deploy(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, api.DeployRequest)  # noqa: S101
        results = await self._deploy_and_wait(request)
        _log_outcome(request, results)
        self._endpoint.reply(delivery, api.DeployResponse(request.reqid, tuple(results)))

    async def _deploy_and_wait(self, request: api.DeployRequest) -> list[Result]:
        name = self._options.name
        own = [node.name for node in request.config.nodes if node.instance == name]
        base = self._options.request_timeout
        patience = Patience(agent_stop_deadline(len(own), base=base, grace=self._options.grace))

        def stopped() -> None:
            """From here on nobody's grace is waited for."""
            patience.progressed(agent_deadline(len(own), base=base))

        # The work goes on after the deadline: a configuration is never left half applied.
        work = self._tasks.create_task(
            self._apply(
                request.config,
                request.force,
                reqid=request.reqid,
                unless_running=not request.force,
                on_stopped=stopped,
            )
        )
        watching = asyncio.ensure_future(self._roster.progress(own, patience.progressed))
        try:
            async with patience:
                with patience.while_stopping(self._control):
                    adoption = await asyncio.shield(work)
                match adoption:
                    case str(error):
                        return [Result(request.reqid, False, name, error=error)]
                    case Adoption.NOT_NEEDED:
                        logger.info(
                            "already running configuration %s", request.config.id, extra={"config": request.config.id}
                        )
                        return [self._result(request.reqid)]
                await self._roster.settle(own)
                await self._await_peers(own, patience.left - TO_ANSWER)
        except TimeoutError:
            if work.done() and self._deployer.configuration is not request.config:
                return [Result(request.reqid, False, name, error=SUPERSEDED)]  # no fault of its nodes
            self._notifier.error(f"configuration {request.config.id} is not all up in time")
            return deploy_results(request.reqid, name, self._roster, own, timed_out=True)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return deploy_results(request.reqid, name, self._roster, own, timed_out=False)

    async def _await_peers(self, names: Collection[str], left: float) -> None:
        """Wait until nodes are connected to the others, for a moment at most; then ask who is not for the last news."""
        await self._roster.connect(names, min(PATIENCE_FOR_PEERS, max(0.0, left - NEWS)))
        if cut_off := {name for name in names if self._roster.cut_off(name)}:
            await self._dispatcher.ask(PING, cut_off, min(NEWS, max(0.0, left)))

    async def _apply(
        self,
        configuration: Configuration,
        force: bool = False,
        *,
        reqid: str = "",
        unless_running: bool = False,
        on_stopped: Callable[[], None] = lambda: None,
    ) -> Adoption | str:
        """Have it adopted; what has become of that, or why it failed: the supervisor's silence is all that may be."""
        try:
            adopted = await self._deployer.apply(
                configuration, force, reqid=reqid, unless_running=unless_running, on_stopped=on_stopped
            )
        except UnansweredError as error:
            self._notifier.error(f"configuration {configuration.id} was not adopted: {error}")
            return self._unanswered(error)
        except Exception:
            logger.exception("configuration %s was not adopted", configuration.id, extra={"config": configuration.id})
            return TIMED_OUT
        finally:
            self._follow()
        return Adoption.DONE if adopted else Adoption.NOT_NEEDED

    async def _check_configuration(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, check_api.AgentCheckRequest)  # noqa: S101
        if self._check is not None:
            results = await self._check.results(request.reqid, request.config, request.deployed)
            self._endpoint.reply(delivery, check_api.AgentCheckResponse(request.reqid, tuple(results)))

    async def _taken_ports(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, check_api.AgentPortsRequest)  # noqa: S101
        if self._check is not None:
            try:
                ports = await self._check.taken_ports(request.deployed)
            except UnansweredError as error:
                logger.warning("which ports are taken cannot be told: %s", error, extra={"error": str(error)})
                ports = []
            self._endpoint.reply(delivery, check_api.AgentPortsResponse(request.reqid, tuple(ports)))

    async def _set_configuration(self, delivery: Delivery) -> None:
        """First generation: answer as soon as the nodes are handed over; no answer is wanted without an id."""
        request = delivery.event
        assert isinstance(request, api.SetConfigurationRequest)  # noqa: S101
        result = self._result(request.reqid)
        # In a task like deployments, so that orders are carried out as they came.
        adoption = await self._tasks.create_task(self._apply(request.config, reqid=request.reqid))
        if isinstance(adoption, str):
            result = msgspec.structs.replace(result, success=False, error=adoption)
        if request.reqid:
            self._endpoint.reply(delivery, api.SetConfigurationResponse(request.reqid, result))

    async def _get_nodes(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, api.GetNodesRequest)  # noqa: S101
        reqid = delivery.event.reqid
        if not await self._control.returns(AWAY_PATIENCE):
            result = Result(reqid, False, self._options.name, error=self._away())
            self._endpoint.reply(delivery, api.GetNodesResponse(reqid, result))
            return
        try:
            processes = await self._control.status()
        except UnansweredError as error:
            result = Result(reqid, False, self._options.name, error=self._unanswered(error))
        else:
            port = self._options.port if self._options.controller is None else None
            statuses = node_statuses(processes, self._roster, port, delivery.generation is FIRST)
            result = Result(reqid, instance=self._options.name, data=statuses)
        self._endpoint.reply(delivery, api.GetNodesResponse(reqid, result))

    async def _status(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, details_api.AgentStatusRequest)  # noqa: S101
        reqid = delivery.event.reqid
        result = Result(reqid, instance=self._options.name, data=await self._historian.reports())
        self._endpoint.reply(delivery, details_api.AgentStatusResponse(reqid, result))

    async def _releases(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, releases_api.AgentReleasesRequest)  # noqa: S101
        reqid = delivery.event.reqid
        try:
            others = await self._control.releases()
        except UnansweredError:
            others = ()
        result = Result(reqid, instance=self._options.name, data=(part("agent"), *others))
        self._endpoint.reply(delivery, releases_api.AgentReleasesResponse(reqid, result))

    async def _diagnosis(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, details_api.AgentDiagnosisRequest)  # noqa: S101
        reqid, name = delivery.event.reqid, delivery.event.node
        found = await self._historian.diagnosis(name)
        result = Result(reqid, found is not None, self._options.name, data=found, node=name)
        self._endpoint.reply(delivery, details_api.AgentDiagnosisResponse(reqid, result))

    async def _node_dispatch(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, api.NodeDispatchRequest)  # noqa: S101
        asked = self._overlap(request.nodes)
        running = {name for name in asked if self._roster[name].state is State.RUNNING}
        answers = await self._dispatcher.ask(request.action, running, self._options.request_timeout)
        results = dispatch_results(request.reqid, self._options.name, answers, asked - running)
        if not self._control.connected:
            # Whether they run is not known, and nobody should look for what has stopped them.
            away = self._away()
            results = [
                msgspec.structs.replace(result, error=away) if result.node in asked - running else result
                for result in results
            ]
        self._endpoint.reply(delivery, api.NodeDispatchResponse(request.reqid, tuple(results)))

    async def _restart(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, api.RestartRequest)  # noqa: S101
        asked = sorted(self._overlap(request.nodes))
        loop = asyncio.get_running_loop()
        outcomes: dict[str, asyncio.Future[Result]] = {name: loop.create_future() for name in asked}
        if asked and not await self._control.returns(AWAY_PATIENCE):
            # What has been answered must not be done later, when it is back.
            for name, outcome in outcomes.items():
                outcome.set_result(Result("", False, self._options.name, error=self._away(), node=name))
        elif outcomes:
            self._tasks.create_task(self._deployer.restart(outcomes))
            base, grace = self._options.request_timeout, self._options.grace
            patience = Patience(agent_stop_deadline(len(asked), base=base, grace=grace))
            for outcome in outcomes.values():
                outcome.add_done_callback(lambda _: patience.progressed())
            with contextlib.suppress(TimeoutError):
                async with patience:
                    with patience.while_stopping(self._control):
                        await asyncio.wait(outcomes.values())
        results = [
            msgspec.structs.replace(outcome.result(), reqid=request.reqid)
            if outcome.done()
            else Result(request.reqid, False, self._options.name, error=TIMED_OUT, node=name)
            for name, outcome in outcomes.items()
        ]
        self._endpoint.reply(delivery, api.RestartResponse(request.reqid, tuple(results)))

    async def _hurry(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, stops_api.AgentHurry)  # noqa: S101
        self._control.hurry(delivery.event.nodes)

    def _away(self) -> str:
        """That the supervisor is away, for a client."""
        now = time.time()
        return f"its supervisor is away since {clock_text(self._control.away_since or now, now)}"

    def _unanswered(self, error: UnansweredError) -> str:
        """Why the supervisor does not answer."""
        return unanswered(error) if self._control.connected else self._away()

    def _overlap(self, nodes: frozenset[str]) -> frozenset[str]:
        return nodes & self._roster.names if nodes else self._roster.names


def _log_outcome(request: api.DeployRequest, results: Collection[Result]) -> None:
    failed = [result for result in results if not result.success]
    nodes = sum(result.node is not None for result in results)
    told = f"{nodes} node{'s' if nodes > 1 else ''} run" if nodes else "nothing had to be done"
    if failed:
        told = "; ".join(f"{result.node or 'all'}: {result.error or 'failed'}" for result in failed)
    facts = {"kind": "deployment", "reqid": request.reqid, "config": request.config.id, "success": not failed}
    level = logging.WARNING if failed else logging.INFO
    if any(result.error == SUPERSEDED for result in failed):
        del facts["kind"]  # what came of the later one is the news
        level = logging.INFO
    logger.log(level, "deployment of configuration %s: %s", request.config.id, told, extra=facts)
