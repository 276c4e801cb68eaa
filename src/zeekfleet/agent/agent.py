"""The agent itself: hears requests, has them done, answers (protocol section 6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from zeekfleet.agent.check import ConfigurationCheck, NodeChecker
from zeekfleet.agent.control import SupervisorControl, cluster_nodes
from zeekfleet.agent.deployment import Deployer
from zeekfleet.agent.dispatch import PING, NodeDispatcher
from zeekfleet.agent.gates import Gate, StartOrder, hello_gate
from zeekfleet.agent.health import HealthSettings, HealthWatch
from zeekfleet.agent.links import NodeLinks
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.plan import node_from_config
from zeekfleet.agent.results import TIMED_OUT, deploy_results, dispatch_results, node_statuses
from zeekfleet.agent.roster import Roster
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import checks as check_api
from zeekfleet.broker.events import node as node_api
from zeekfleet.broker.events import supervisor as supervisor_api
from zeekfleet.broker.generations import FIRST
from zeekfleet.errors import RequestTimeoutError
from zeekfleet.model.enums import State
from zeekfleet.model.management import Result
from zeekfleet.model.types import Address
from zeekfleet.planning.deadlines import agent_deadline
from zeekfleet.transport.admission import Admission
from zeekfleet.transport.endpoint import Delivery, Endpoint, Happening, PeerAdded, PeerLost

logger = logging.getLogger(__name__)

MAX_REQUESTS = 1024
MAX_REQUESTS_OF_A_PEER = 256
"""How many are worked on at a time."""

PING_AFTER = 1.0
"""Seconds after which a started node that has not said hello is asked for a sign of life, and again."""


class AgentOptions(msgspec.Struct, frozen=True):
    """What an agent needs to know of itself.

    Attributes:
        name: its instance's name.
        state_directory: of the whole tree.
        host: the address it listens on.
        port: the port it listens on.
        controller: host and port that it dials, or None to be dialled.
        request_timeout: base of all deadlines, in seconds.
        grace: seconds that a node may take to stop.
        health: what is asked of nodes.
    """

    name: str
    state_directory: Path
    host: Address
    port: int
    controller: tuple[str, int] | None
    request_timeout: float = 5.0
    grace: float = 10.0
    health: HealthSettings = HealthSettings()


START_STEP = 0.2
"""How much of the request time-out a deployment waits, at most, for one group of nodes before it starts the next."""


class Agent:
    """One instance's agent.

    Args:
        options: see there.
        endpoint: its listeners (controller and nodes) are open; the agent dials the controller itself.
        supervisor: an endpoint that peers with the supervisor.
        links: how the engine's nodes are reached.
        make_gate: tells when a node of the engine is up, given the roster.
        checker: tells what would keep nodes from coming up; without one, configurations cannot be checked.
    """

    def __init__(
        self,
        options: AgentOptions,
        endpoint: Endpoint,
        supervisor: Endpoint,
        links: NodeLinks,
        make_gate: Callable[[Roster], Gate] = hello_gate,
        checker: NodeChecker | None = None,
    ) -> None:
        self._options = options
        self._endpoint = endpoint
        self._supervisor = supervisor
        self._links = links
        self._topic = topics.agent(options.name)
        capabilities = frozenset({check_api.CHECK} if checker is not None else ())
        self._notifier = Notifier(endpoint, options.name, options.controller is not None, options.host, capabilities)
        self._roster = Roster(self._notifier.change)
        self._control = SupervisorControl(supervisor, options.request_timeout, options.request_timeout + options.grace)
        self._check: ConfigurationCheck | None = None
        if checker is not None:
            self._check = ConfigurationCheck(
                options.name, options.state_directory, self._control, links, checker, options.request_timeout
            )
        self._dispatcher = NodeDispatcher(endpoint)
        self._deployer = Deployer(
            options.name,
            options.state_directory,
            self._control,
            self._roster,
            links,
            self._notifier,
            StartOrder(make_gate(self._roster), options.request_timeout * START_STEP),
        )
        self._health = HealthWatch(
            options.health, self._roster, self._dispatcher, links, self._notifier, self._deployer.restart
        )
        self._tasks = asyncio.TaskGroup()
        self._admission = Admission(MAX_REQUESTS, MAX_REQUESTS_OF_A_PEER, "requests")
        self._supervised = False
        self._launched = asyncio.Event()
        endpoint.subscribe(self._topic)
        endpoint.subscribe(topics.NODE)
        supervisor.subscribe(topics.SUPERVISOR)
        supervisor.subscribe(topics.NODE_EXITS)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with self._tasks:
            self._tasks.create_task(self._hear_supervisor())
            self._tasks.create_task(self._ask_for_hellos())
            self._tasks.create_task(self._health.run())
            if self._options.controller is not None:
                self._endpoint.peer(*self._options.controller, publish=(self._topic,))
            await self._hear()

    # --- what arrives

    async def _hear(self) -> None:
        async for happening in self._endpoint.events():
            try:
                self._happened(happening)
            except Exception:
                # Whatever a peer made us stumble over must not take the agent down.
                logger.exception("%s was not dealt with", type(happening).__name__)

    def _happened(self, happening: Happening) -> None:
        match happening:
            case PeerAdded(peer=peer):
                logger.debug("peer %s added", peer)
                if self._supervised and not peer.host.startswith("unix:"):
                    self._notifier.hello()
            case PeerLost(peer=peer, reason=reason):
                logger.debug("peer %s lost: %s", peer, reason)
            case Delivery(topic=topics.NODE, event=event):
                self._heard_node(event)
            case Delivery(topic=topic) if topic == self._topic:
                # A prefix match brings in what is meant for agents whose names begin like ours.
                self._heard_request(happening)

    def _heard_node(self, event: object) -> None:
        match event:
            case node_api.NotifyNodeHello(node=name):
                logger.debug("node %s says hello", name)
                self._roster.hello(name)
            case node_api.NodeDispatchResponse(result=Result(node=str(name))):
                self._roster.hello(name)
                self._dispatcher.received(event)

    def _heard_request(self, delivery: Delivery) -> None:
        handler: Callable[[Delivery], Awaitable[None]] | None = None
        match delivery.event:
            case api.AgentWelcomeRequest():
                handler = self._welcome
            case api.AgentStandbyRequest():
                handler = self._standby
            case api.DeployRequest():
                handler = self._deploy
            case api.SetConfigurationRequest():
                handler = self._set_configuration
            case api.GetNodesRequest():
                handler = self._get_nodes
            case api.NodeDispatchRequest():
                handler = self._node_dispatch
            case api.RestartRequest():
                handler = self._restart
            case check_api.AgentCheckRequest():
                handler = self._check_configuration
        if handler is not None and self._admission.admit(delivery.peer.id):
            logger.debug("received %s", type(delivery.event).event_name)
            self._tasks.create_task(self._handle(handler, delivery))

    async def _handle(self, handler: Callable[[Delivery], Awaitable[None]], delivery: Delivery) -> None:
        try:
            await handler(delivery)
        except Exception:
            # One request must not take the agent down; whoever asked runs into its deadline.
            logger.exception("request %s failed", type(delivery.event).event_name)
        finally:
            self._admission.release(delivery.peer.id)

    async def _hear_supervisor(self) -> None:
        async for happening in self._supervisor.events():
            match happening:
                case PeerAdded():
                    await self._supervisor_found()
                case PeerLost(reason=reason):
                    self._supervised = False
                    logger.warning("lost the supervisor: %s", reason)
                    self._roster.lost()
                case Delivery(event=supervisor_api.NodeStatus(node=name, pid=pid)):
                    self._roster.started(name, pid)
                    self._follow()
                case Delivery(event=supervisor_api.NotifyNodeExit(node=name, outputs=outputs)):
                    self._roster.exited(name, outputs)
                    self._follow()

    async def _supervisor_found(self) -> None:
        """Learn what runs, then check in: the agent can do nothing without its supervisor."""
        try:
            processes = await self._control.status()
        except RequestTimeoutError as error:
            logger.warning("the supervisor does not tell its status: %s", error)
            processes = {}
        configs = cluster_nodes(processes)
        self._deployer.configs = configs
        if self._deployer.configuration is None:
            self._roster.keep([node_from_config(self._options.name, config) for config in configs.values()])
        for name in configs:
            self._roster.found(name, processes[name].pid)
        self._supervised = True
        self._follow()
        self._notifier.hello()

    def _follow(self) -> None:
        """Tell the links what runs, and see to it that hellos are asked for."""
        names = self._roster.names
        pids = {name: entry.pid for name in names if (entry := self._roster[name]).pid is not None}
        self._links.follow({name: pid for name, pid in pids.items() if pid is not None}, self._deployer.configs)
        if self._roster.pending():
            self._launched.set()

    async def _ask_for_hellos(self) -> None:
        """While started nodes are silent, ask them now and then; any answer counts as a hello."""
        while True:
            self._launched.clear()
            await self._launched.wait()
            await asyncio.sleep(PING_AFTER)
            while waiting := self._roster.pending():
                self._dispatcher.send(PING, waiting)
                await asyncio.sleep(PING_AFTER)

    # --- requests

    def _result(self, reqid: str) -> Result:
        return Result(reqid, instance=self._options.name)

    async def _welcome(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, api.AgentWelcomeRequest)  # noqa: S101 - see _heard_request
        reqid = delivery.event.reqid
        self._endpoint.reply(delivery, api.AgentWelcomeResponse(reqid, self._result(reqid)))

    async def _standby(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, api.AgentStandbyRequest)  # noqa: S101
        reqid = delivery.event.reqid
        result = self._result(reqid)
        try:
            await self._deployer.stand_by()
            self._notifier.log("standing by")
        except RequestTimeoutError:
            result = msgspec.structs.replace(result, success=False, error=TIMED_OUT)
        self._endpoint.reply(delivery, api.AgentStandbyResponse(reqid, result))

    async def _deploy(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, api.DeployRequest)  # noqa: S101
        if self._deployer.is_running(request.config) and not request.force:
            logger.info("already running configuration %s", request.config.id)
            results = [self._result(request.reqid)]
        else:
            results = await self._deploy_and_wait(request)
        self._endpoint.reply(delivery, api.DeployResponse(request.reqid, tuple(results)))

    async def _deploy_and_wait(self, request: api.DeployRequest) -> list[Result]:
        name = self._options.name
        own = [node.name for node in request.config.nodes if node.instance == name]
        # The work goes on after the deadline: a configuration is never left half applied.
        work = self._tasks.create_task(self._apply(request))
        try:
            async with asyncio.timeout(agent_deadline(len(own), base=self._options.request_timeout)):
                if not await asyncio.shield(work):
                    return [Result(request.reqid, False, name, error=TIMED_OUT)]
                await self._roster.settle(own)
        except TimeoutError:
            self._notifier.error(f"configuration {request.config.id} is not all up in time")
            return deploy_results(request.reqid, name, self._roster, own, timed_out=True)
        return deploy_results(request.reqid, name, self._roster, own, timed_out=False)

    async def _apply(self, request: api.DeployRequest | api.SetConfigurationRequest) -> bool:
        """Whether the configuration was adopted; the supervisor's silence is the one thing that prevents it."""
        force = isinstance(request, api.DeployRequest) and request.force
        try:
            await self._deployer.apply(request.config, force)
        except RequestTimeoutError as error:
            self._notifier.error(f"configuration {request.config.id} was not adopted: {error}")
            return False
        finally:
            self._follow()
        return True

    async def _check_configuration(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, check_api.AgentCheckRequest)  # noqa: S101
        if self._check is not None:
            results = await self._check.results(request.reqid, request.config, request.deployed)
            self._endpoint.reply(delivery, check_api.AgentCheckResponse(request.reqid, tuple(results)))

    async def _set_configuration(self, delivery: Delivery) -> None:
        """First generation: answer as soon as the nodes are handed over; no answer is wanted without an id."""
        request = delivery.event
        assert isinstance(request, api.SetConfigurationRequest)  # noqa: S101
        result = self._result(request.reqid)
        if not await self._apply(request):
            result = msgspec.structs.replace(result, success=False, error=TIMED_OUT)
        if request.reqid:
            self._endpoint.reply(delivery, api.SetConfigurationResponse(request.reqid, result))

    async def _get_nodes(self, delivery: Delivery) -> None:
        assert isinstance(delivery.event, api.GetNodesRequest)  # noqa: S101
        reqid = delivery.event.reqid
        try:
            processes = await self._control.status()
        except RequestTimeoutError:
            result = Result(reqid, False, self._options.name, error=TIMED_OUT)
        else:
            port = self._options.port if self._options.controller is None else None
            statuses = node_statuses(processes, self._roster, port, delivery.generation is FIRST)
            result = Result(reqid, instance=self._options.name, data=statuses)
        self._endpoint.reply(delivery, api.GetNodesResponse(reqid, result))

    async def _node_dispatch(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, api.NodeDispatchRequest)  # noqa: S101
        asked = self._overlap(request.nodes)
        running = {name for name in asked if self._roster[name].state is State.RUNNING}
        answers = await self._dispatcher.ask(request.action, running, self._options.request_timeout)
        results = dispatch_results(request.reqid, self._options.name, answers, asked - running)
        self._endpoint.reply(delivery, api.NodeDispatchResponse(request.reqid, tuple(results)))

    async def _restart(self, delivery: Delivery) -> None:
        request = delivery.event
        assert isinstance(request, api.RestartRequest)  # noqa: S101
        asked = sorted(self._overlap(request.nodes))
        work = [self._tasks.create_task(self._deployer.restart(name)) for name in asked]
        done: set[asyncio.Task[Result]] = set()
        if work:
            done, _ = await asyncio.wait(work, timeout=agent_deadline(len(asked), base=self._options.request_timeout))
        results = [
            msgspec.structs.replace(task.result(), reqid=request.reqid)
            if task in done
            else Result(request.reqid, False, self._options.name, error=TIMED_OUT, node=name)
            for name, task in zip(asked, work, strict=True)
        ]
        self._endpoint.reply(delivery, api.RestartResponse(request.reqid, tuple(results)))

    def _overlap(self, nodes: frozenset[str]) -> frozenset[str]:
        return nodes & self._roster.names if nodes else self._roster.names
