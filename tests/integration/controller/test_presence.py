"""What the controller knows of instances that it cannot ask, and that this outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from zeekfleet import Client
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.details import AgentStatusRequest, AgentStatusResponse, ControllerStatusRequest
from zeekfleet.broker.events.presence import NotifySupervisor
from zeekfleet.controller import presence as presence_module
from zeekfleet.controller import requests as requests_module
from zeekfleet.controller.controller import Controller, ControllerOptions
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Result, fresh_id
from zeekfleet.model.presence import InstancePresence
from zeekfleet.model.supervision import NodeDetails, NodeReport
from zeekfleet.store.interface import ConfigState, LastHeard
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.bus import Delivery, PeerAdded
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork

PATIENCE = 30.0
REPORT = NodeReport("w", ClusterRole.WORKER, State.RUNNING, 17.0, NodeDetails("w", "running", pid=4711))


class Agent:
    """Says hello, is welcome to everything, and tells the reports that it is given."""

    def __init__(self, name: str, endpoint: MemoryBus) -> None:
        self.name = name
        self.endpoint = endpoint
        self.reports: tuple[NodeReport, ...] = (REPORT,)
        self.silent = False
        self.says_hello = True
        self.topic = topics.agent(name)
        endpoint.subscribe(self.topic)

    async def serve(self) -> None:
        async for received in self.endpoint.events():
            match received:
                case PeerAdded() if self.says_hello:
                    self.tell(api.NotifyAgentHello(self.name, self.endpoint.id, True, api.API_VERSION))
                case Delivery(topic=self.topic, event=event):
                    if (answer := self._answer(event)) is not None:
                        self.endpoint.reply(received, answer)

    def tell(self, event: Event) -> None:
        self.endpoint.publish(self.topic, event)

    def _answer(self, event: Event) -> Event | None:
        match event:
            case api.AgentWelcomeRequest(reqid=reqid):
                return api.AgentWelcomeResponse(reqid, Result(reqid, instance=self.name))
            case api.DeployRequest(reqid=reqid):
                return api.DeployResponse(reqid, (Result(reqid, instance=self.name),))
            case AgentStatusRequest(reqid=reqid) if not self.silent:
                return AgentStatusResponse(reqid, Result(reqid, instance=self.name, data=self.reports))
        return None


class Scene:
    """A controller and a client in one process."""

    def __init__(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup, network: MemoryNetwork) -> None:
        self.endpoint = MemoryBus(network, "client")
        self.client = Client("127.0.0.1", 2150, timeout=PATIENCE, bus=self.endpoint)
        self.controller: Controller
        self._stack, self._tasks, self._network = stack, tasks, network
        self._started: list[asyncio.Task[None]] = []

    def run(self, coroutine) -> None:
        self._started.append(self._tasks.create_task(coroutine))

    async def agent(self, name: str) -> Agent:
        agent = Agent(name, await self._stack.enter_async_context(MemoryBus(self._network, name)))
        agent.endpoint.dial("127.0.0.1", 2150)
        self.run(agent.serve())
        return agent

    async def presences(self) -> dict[str, InstancePresence]:
        return (await self.client.wanted()).presences or {}

    async def status(self) -> None:
        await self.endpoint.request(topics.CONTROLLER, ControllerStatusRequest(fresh_id()), PATIENCE)

    async def sees(self, name: str, what: Callable[[InstancePresence], object]) -> InstancePresence:
        """Ask until an instance is as wanted: each try is a round trip."""
        async with asyncio.timeout(PATIENCE):
            while (one := (await self.presences()).get(name)) is None or not what(one):
                continue
        return one

    def end(self) -> None:
        for task in self._started:
            task.cancel()


@asynccontextmanager
async def scene(store: MemoryStore, request_timeout: float = PATIENCE) -> AsyncIterator[Scene]:
    network = MemoryNetwork()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        made = Scene(stack, tasks, network)
        endpoint = await stack.enter_async_context(MemoryBus(network, "controller"))
        await endpoint.listen("127.0.0.1", 2150)
        made.controller = Controller(ControllerOptions("c", request_timeout=request_timeout), endpoint, endpoint, store)
        made.run(made.controller.run())
        await stack.enter_async_context(made.client)
        yield made
        made.end()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence_module, "PAUSE", 0.0)


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    configuration = Configuration(
        "deployed", (Instance("a1"), Instance("b1")), (Node("w", "a1", ClusterRole.WORKER, State.RUNNING),)
    )
    made.put({ConfigState.DEPLOYED: configuration})
    return made


async def test_a_lost_instance_is_told_with_what_was_last_heard(store: MemoryStore) -> None:
    async with scene(store) as it:
        agent = await it.agent("a1")
        there = await it.sees("a1", lambda one: one.reports)
        assert there.connected
        assert there.configured
        assert there.reports == (REPORT,)
        assert (await it.presences())["b1"] == InstancePresence("b1", configured=True)  # never heard of

        agent.endpoint.hang_up("127.0.0.1", 2150)
        gone = await it.sees("a1", lambda one: not one.connected)
        assert gone.gone_since is not None
        assert gone.heard_at is not None
        assert gone.reported_at == there.reported_at
        assert gone.reports == (REPORT,)

        agent.endpoint.dial("127.0.0.1", 2150)
        assert (await it.sees("a1", lambda one: one.connected)).gone_since is None


async def test_a_change_is_followed_by_a_look(store: MemoryStore) -> None:
    async with scene(store) as it:
        agent = await it.agent("a1")
        await it.sees("a1", lambda one: one.reports)
        failed = NodeReport("w", ClusterRole.WORKER, State.FAILED, 18.0, NodeDetails("w", "failed", next_start=99.0))
        agent.reports = (failed,)
        node = Node("w", "a1", ClusterRole.WORKER, State.FAILED)
        agent.tell(api.NotifyChange("a1", node, State.RUNNING, State.FAILED))
        await it.sees("a1", lambda one: one.reports == (failed,))


async def test_what_was_heard_outlives_the_controller(store: MemoryStore) -> None:
    async with scene(store) as it:
        agent = await it.agent("a1")
        await it.sees("a1", lambda one: one.reports)
        agent.endpoint.hang_up("127.0.0.1", 2150)
        gone = await it.sees("a1", lambda one: not one.connected)
        async with asyncio.timeout(PATIENCE):
            while not any(heard.gone_since for heard in store.remembered()):
                await it.presences()
    assert isinstance(store.remembered()[0], LastHeard)
    async with scene(store) as it:
        again = await it.sees("a1", lambda one: one.reports)
        assert not again.connected
        assert again.gone_since == gone.gone_since
        assert again.reports == (REPORT,)


async def test_a_supervisor_that_is_away_is_told_and_what_was_known_before_is_kept(store: MemoryStore) -> None:
    async with scene(store) as it:
        agent = await it.agent("a1")
        await it.sees("a1", lambda one: one.reports)
        agent.reports = (NodeReport("w", ClusterRole.WORKER, State.UNKNOWN, 20.0),)
        agent.tell(NotifySupervisor("a1", 19.0))
        node = Node("w", "a1", ClusterRole.WORKER, State.UNKNOWN)
        agent.tell(api.NotifyChange("a1", node, State.RUNNING, State.UNKNOWN))
        before = (await it.sees("a1", lambda one: one.supervisor_away_since)).reported_at or 0.0
        away = await it.sees("a1", lambda one: (one.reported_at or 0.0) > before)
        assert away.supervisor_away_since == 19.0
        assert away.reports == (REPORT,)
        agent.tell(NotifySupervisor("a1", None))
        await it.sees("a1", lambda one: one.supervisor_away_since is None)


async def test_a_host_that_is_lost_while_its_supervisor_is_away_is_lost(store: MemoryStore) -> None:
    async with scene(store) as it:
        agent = await it.agent("a1")
        agent.says_hello = False  # as one does that cannot find its supervisor
        agent.endpoint.hang_up("127.0.0.1", 2150)
        agent.endpoint.dial("127.0.0.1", 2150)
        async with asyncio.timeout(PATIENCE):
            while not (await it.presences())["a1"].supervisor_away_since:
                agent.tell(NotifySupervisor("a1", 19.0))
        agent.endpoint.hang_up("127.0.0.1", 2150)
        gone = await it.sees("a1", lambda one: one.supervisor_away_since is None)
        assert not gone.connected
        assert gone.gone_since is not None


async def test_nobody_speaks_for_another_instance(store: MemoryStore) -> None:
    async with scene(store) as it:
        await it.agent("a1")
        await it.sees("a1", lambda one: one.reports)
        impostor = await it.agent("b1")
        await it.sees("b1", lambda one: one.connected)
        impostor.endpoint.publish(topics.agent("a1"), NotifySupervisor("a1", 19.0))
        impostor.tell(NotifySupervisor("b1", 18.0))
        await it.sees("b1", lambda one: one.supervisor_away_since)
        assert (await it.presences())["a1"].supervisor_away_since is None


async def test_who_was_silent_is_not_waited_for_again(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second view has its answer although a second wait for the whole time-out would never end."""
    async with scene(store, request_timeout=0.2) as it:
        agent = await it.agent("a1")
        await it.sees("a1", lambda one: one.reports)
        agent.silent = True
        await it.status()
        assert (await it.presences())["a1"].silent_since is not None
        monkeypatch.setattr(requests_module, "PATIENCE", 0.01)
        it.controller._requests._timeout = 1e6
        await it.status()
        agent.silent = False
        agent.tell(api.NotifyLog("a1", "a sign of life", ""))
        await it.sees("a1", lambda one: one.silent_since is None)
