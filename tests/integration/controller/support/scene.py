"""A controller, agents that answer as they are told, and clients, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from support.bare_bus import BareBus
from support.recorder import Recorder
from zeekfleet import Client
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import checks, details
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import DeploymentOutcome, DeploymentProgress
from zeekfleet.broker.events.presence import RENEWS, AgentHelloRequest
from zeekfleet.broker.events.refusals import DeploymentNumber
from zeekfleet.broker.generations import SECOND, Generation
from zeekfleet.controller.controller import Controller
from zeekfleet.controller.deployment import Step
from zeekfleet.controller.options import ControllerOptions
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Result
from zeekfleet.model.types import Address, Port
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.bus import BusEvent, Delivery, PeerAdded
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork

DEADLINE = 30.0


class ScriptedAgent:
    """Answers as told, and keeps what it was asked."""

    end: Callable[[], Awaitable[None]]
    """Has it listen and dial no longer."""

    def __init__(self, name: str, endpoint: MemoryBus, *, able: bool = True) -> None:
        self.name = name
        self.endpoint = endpoint
        self.able = able
        self.renews = False
        self.problems: tuple[tuple[str, ...], ...] = ()
        self.introduces_itself = True
        self.silent = False
        self.deaf = False
        self.taken: tuple[int, ...] = ()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked: list[Event] = []
        self.heard = asyncio.Event()
        self.deployed = asyncio.Event()
        self.topic = topics.agent(name)
        endpoint.subscribe(self.topic)

    def names(self) -> list[str]:
        """What it was asked, but for ports, where any are to be assigned, and reports, which are asked by time."""
        others = (checks.AgentPortsRequest, details.AgentStatusRequest)
        return [type(event).__name__ for event in self.asked if not isinstance(event, others)]

    async def was_asked(self, event: type[Event], times: int = 1) -> None:
        """Wait until it has been asked this, so often."""
        async with asyncio.timeout(DEADLINE):
            while sum(isinstance(asked, event) for asked in self.asked) < times:
                self.heard.clear()
                await self.heard.wait()

    def tell(self, event: Event) -> None:
        """Say something unasked."""
        self.endpoint.publish(self.topic, event)

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for received in self.endpoint.events():
                match received:
                    case PeerAdded() if self.introduces_itself:
                        self._check_in()
                    case Delivery(topic=self.topic, event=event) if not isinstance(event, DeploymentNumber):
                        self.asked.append(event)
                        self.heard.set()
                        if isinstance(event, AgentHelloRequest):
                            self._check_in()
                        tasks.create_task(self._reply(received))

    def _check_in(self) -> None:
        hello = api.NotifyAgentHello(self.name, self.endpoint.id, True, api.API_VERSION)
        self.endpoint.publish(self.topic, hello)
        if self.able:
            renews = {RENEWS} if self.renews else set()
            names = frozenset({checks.CHECK, checks.PORTS, "something of tomorrow", *renews})
            self.endpoint.publish(self.topic, checks.NotifyCapabilities(self.name, names))

    async def _reply(self, delivery: Delivery) -> None:
        if isinstance(delivery.event, api.DeployRequest):
            await self.may_answer.wait()
        answer = self._answer(delivery.event)
        if answer is not None:
            self.endpoint.reply(delivery, answer)

    def _answer(self, event: Event) -> Event | None:
        match event:
            case api.AgentWelcomeRequest(reqid=reqid) if not self.deaf:
                return api.AgentWelcomeResponse(reqid, Result(reqid, instance=self.name))
            case api.DeployRequest(reqid=reqid):
                self.deployed.set()
                return api.DeployResponse(reqid, (Result(reqid, instance=self.name),))
            case checks.AgentPortsRequest(reqid=reqid):
                return checks.AgentPortsResponse(reqid, self.taken)
            case api.GetNodesRequest(reqid=reqid):
                return api.GetNodesResponse(reqid, Result(reqid, instance=self.name, data=()))
            case api.RestartRequest(reqid=reqid):
                return api.RestartResponse(reqid, (Result(reqid, instance=self.name, node=f"w-{self.name}"),))
            case checks.AgentCheckRequest(reqid=reqid) if not self.silent:
                failed = (
                    Result(reqid, False, self.name, nodes, f"{self.name}: {', '.join(nodes)}", nodes[0])
                    for nodes in self.problems
                )
                return checks.AgentCheckResponse(reqid, tuple(failed) or (Result(reqid, instance=self.name),))
        return None


class Scene:
    """A controller, agents and a client in one process."""

    def __init__(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup, network: MemoryNetwork) -> None:
        self.store = MemoryStore()
        self.client: Client
        self._stack = stack
        self._tasks = tasks
        self.network = network
        self._started: list[asyncio.Task[None]] = []

    def run(self, coroutine) -> None:
        self._started.append(self._tasks.create_task(coroutine))

    async def agent(
        self,
        name: str,
        *,
        able: bool = True,
        port: int | None = None,
        renews: bool = False,
        introduces_itself: bool = True,
    ) -> ScriptedAgent:
        opened = await self._stack.enter_async_context(AsyncExitStack())
        endpoint = await opened.enter_async_context(MemoryBus(self.network, name))
        agent = ScriptedAgent(name, endpoint, able=able)
        agent.end = opened.aclose
        agent.renews, agent.introduces_itself = renews, introduces_itself
        if port is None:
            endpoint.dial("127.0.0.1", 2150)
        else:
            await endpoint.listen("127.0.0.1", port)
        self.run(agent.serve())
        return agent

    async def another_client(self) -> Client:
        """A client beside the first."""
        endpoint = MemoryBus(self.network)
        client = Client("127.0.0.1", 2150, timeout=DEADLINE, bus=endpoint)
        return await self._stack.enter_async_context(client)

    async def listener(self) -> Recorder:
        """Hears what is told unasked."""
        endpoint = await self._stack.enter_async_context(MemoryBus(self.network, "listener"))
        for topic in topics.NEWS:
            endpoint.subscribe(topic)
        recorder = await self._stack.enter_async_context(Recorder(endpoint))
        endpoint.dial("127.0.0.1", 2150)
        await recorder.added()
        return recorder

    async def asks(self, event: Event, generation: Generation = SECOND) -> Event:
        """What the controller answers somebody who asks this, and subscribes to its answers alone, as zeek-client."""
        endpoint = await self._stack.enter_async_context(MemoryBus(self.network, "zeekfleet-by-name"))
        endpoint.subscribe(topics.CONTROLLER)
        recorder = await self._stack.enter_async_context(Recorder(endpoint))
        endpoint.dial("127.0.0.1", 2150)
        await recorder.added()
        return await endpoint.request(topics.CONTROLLER, event, DEADLINE, generation)

    async def known(self, *names: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while [instance.name for instance in await self.client.get_instances()] != sorted(names):
                continue  # each try is a round trip

    def end(self) -> None:
        for task in self._started:
            task.cancel()


@asynccontextmanager
async def scene(*, bare: bool = False, **options: object) -> AsyncIterator[Scene]:
    """A controller and a client. With ``bare``, nothing tells the controller of connections."""
    network = MemoryNetwork()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        made = Scene(stack, tasks, network)
        endpoint = await stack.enter_async_context(MemoryBus(network, "controller"))
        await endpoint.listen("127.0.0.1", 2150)
        given = {"request_timeout": DEADLINE, **options}
        bus = BareBus(endpoint) if bare else endpoint
        made.run(Controller(ControllerOptions("c", **given), bus, endpoint, made.store).run())  # type: ignore[arg-type]
        made.client = Client("127.0.0.1", 2150, timeout=DEADLINE, bus=MemoryBus(network, "client"))
        async with made.client:
            yield made
        made.end()


async def step_of(news: Recorder, step: Step, reqid: str | None = None) -> DeploymentProgress:
    """The first progress that tells of a step, of whatever deployment or of this one."""

    def matches(received: BusEvent) -> bool:
        event = received.event if isinstance(received, Delivery) else None
        return isinstance(event, DeploymentProgress) and event.step == step.value and reqid in (None, event.reqid)

    received = await news.wait_for(matches, DEADLINE)
    assert isinstance(received, Delivery)
    assert isinstance(received.event, DeploymentProgress)
    return received.event


async def outcome_of(news: Recorder, config_id: str) -> DeploymentOutcome:
    """What was told in the end of this configuration's deployment."""

    def matches(received: BusEvent) -> bool:
        event = received.event if isinstance(received, Delivery) else None
        return isinstance(event, DeploymentOutcome) and event.config_id == config_id

    received = await news.wait_for(matches, DEADLINE)
    assert isinstance(received, Delivery)
    assert isinstance(received.event, DeploymentOutcome)
    return received.event


def configuration(*instances: str, ports: dict[str, int] | None = None) -> Configuration:
    """An instance a name, with a worker each."""
    listening = ports or {}
    return Configuration(
        instances=tuple(
            Instance(name, Address("127.0.0.1"), Port(listening[name])) if name in listening else Instance(name)
            for name in instances
        ),
        nodes=tuple(Node(f"w-{name}", name, ClusterRole.WORKER, State.PENDING) for name in instances),
    )
