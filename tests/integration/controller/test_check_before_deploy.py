"""What the controller asks of which agents before it deploys, and what it leaves alone when they find a problem."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import checks
from zeekfleet.broker.events.base import Event
from zeekfleet.client import Client
from zeekfleet.controller.controller import Controller, ControllerOptions
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Result
from zeekfleet.model.types import Address, Port
from zeekfleet.planning.deadlines import controller_deadline
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.endpoint import Delivery, PeerAdded
from zeekfleet.transport.memory import MemoryEndpoint, MemoryNetwork

DEADLINE = 30.0


class ScriptedAgent:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, name: str, endpoint: MemoryEndpoint, *, able: bool = True) -> None:
        self.name = name
        self.endpoint = endpoint
        self.able = able
        self.problems: tuple[tuple[str, ...], ...] = ()
        self.silent = False
        self.asked: list[Event] = []
        self.deployed = asyncio.Event()
        self.topic = topics.agent(name)
        endpoint.subscribe(self.topic)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.asked]

    async def serve(self) -> None:
        async for happening in self.endpoint.events():
            match happening:
                case PeerAdded():
                    hello = api.NotifyAgentHello(self.name, self.endpoint.id, True, api.API_VERSION)
                    self.endpoint.publish(self.topic, hello)
                    if self.able:
                        names = frozenset({checks.CHECK, "something of tomorrow"})
                        self.endpoint.publish(self.topic, checks.NotifyCapabilities(self.name, names))
                case Delivery(topic=self.topic, event=event):
                    self.asked.append(event)
                    answer = self._answer(event)
                    if answer is not None:
                        self.endpoint.reply(happening, answer)

    def _answer(self, event: Event) -> Event | None:
        match event:
            case api.AgentWelcomeRequest(reqid=reqid):
                return api.AgentWelcomeResponse(reqid, Result(reqid, instance=self.name))
            case api.DeployRequest(reqid=reqid):
                self.deployed.set()
                return api.DeployResponse(reqid, (Result(reqid, instance=self.name),))
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
        self._network = network
        self._started: list[asyncio.Task[None]] = []

    def run(self, coroutine) -> None:
        self._started.append(self._tasks.create_task(coroutine))

    async def agent(self, name: str, *, able: bool = True, port: int | None = None) -> ScriptedAgent:
        endpoint = await self._stack.enter_async_context(MemoryEndpoint(self._network, name))
        agent = ScriptedAgent(name, endpoint, able=able)
        if port is None:
            endpoint.peer("127.0.0.1", 2150)
        else:
            await endpoint.listen("127.0.0.1", port)
        self.run(agent.serve())
        return agent

    async def known(self, *names: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while [instance.name for instance in await self.client.get_instances()] != sorted(names):
                continue  # each try is a round trip

    def end(self) -> None:
        for task in self._started:
            task.cancel()


@asynccontextmanager
async def scene(**options: object) -> AsyncIterator[Scene]:
    network = MemoryNetwork()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        made = Scene(stack, tasks, network)
        endpoint = await stack.enter_async_context(MemoryEndpoint(network, "controller"))
        await endpoint.listen("127.0.0.1", 2150)
        given = {"request_timeout": DEADLINE, **options}
        made.run(Controller(ControllerOptions("c", **given), endpoint, made.store).run())  # type: ignore[arg-type]
        made.client = Client("127.0.0.1", 2150, timeout=DEADLINE, endpoint=MemoryEndpoint(network, "client"))
        async with made.client:
            yield made
        made.end()


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


async def test_agents_are_asked_before_they_are_sent_anything() -> None:
    async with scene() as it:
        one, two = await it.agent("a1"), await it.agent("a2")
        await it.known("a1", "a2")
        outcome = await it.client.deploy_config(configuration("a1", "a2"))
        assert outcome.ok
        for agent in (one, two):
            assert agent.names() == ["AgentWelcomeRequest", "AgentCheckRequest", "DeployRequest"]
        asked, sent = one.asked[1:]
        assert asked.config == sent.config  # type: ignore[attr-defined] # addresses and ports filled in
        assert asked.deployed is None  # type: ignore[attr-defined]


async def test_a_problem_leaves_the_cluster_as_it_is() -> None:
    async with scene() as it:
        one, two, three = [await it.agent(name) for name in ("a1", "a2", "a3")]
        await it.known("a1", "a2", "a3")
        first = configuration("a1", "a2")
        assert (await it.client.deploy_config(first)).ok
        for agent in (one, two, three):
            agent.asked.clear()
        three.problems = (("w-a3",), ("w-a3", "other"))
        outcome = await it.client.deploy_config(configuration("a1", "a3"))
        assert not outcome.ok
        assert outcome.errors == ("a3: w-a3", "a3: w-a3, other")
        assert outcome.nodes == ()
        assert outcome.id is None
        # a2 would leave and is told nothing; a3 has heard no more than a welcome.
        assert one.names() == ["AgentCheckRequest"]
        assert one.asked[0].deployed.id == first.id  # type: ignore[attr-defined]
        assert two.asked == []
        assert three.names() == ["AgentWelcomeRequest", "AgentCheckRequest"]
        deployed = it.store.get(ConfigState.DEPLOYED)
        assert deployed is not None
        assert deployed.id == first.id
        # And once the problem is gone, all goes on.
        three.problems = ()
        assert (await it.client.deploy_config(configuration("a1", "a3"))).ok
        await it.client.get_instances()
        assert "AgentStandbyRequest" in two.names()


async def test_an_instance_that_is_dialled_is_asked_and_let_go_again() -> None:
    async with scene() as it:
        one = await it.agent("b1", port=7001)
        one.problems = (("w-b1",),)
        wanted = configuration("b1", ports={"b1": 7001})
        assert (await it.client.deploy_config(wanted)).errors == ("b1: w-b1",)
        assert one.names() == ["AgentWelcomeRequest", "AgentCheckRequest"]
        await it.known()
        one.problems = ()
        assert (await it.client.deploy_config(wanted)).ok


async def test_agents_that_cannot_check_hold_nothing_up() -> None:
    async with scene() as it:
        old, new = await it.agent("a1", able=False), await it.agent("a2")
        await it.known("a1", "a2")
        started = time.monotonic()
        assert (await it.client.deploy_config(configuration("a1", "a2"))).ok
        assert time.monotonic() - started < DEADLINE / 3
        assert old.names() == ["AgentWelcomeRequest", "DeployRequest"]
        assert new.names() == ["AgentWelcomeRequest", "AgentCheckRequest", "DeployRequest"]


async def test_an_agent_that_does_not_answer_the_check_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = partial(controller_deadline, agent_base=0.1)  # the controller allows for agents with the default one
    monkeypatch.setattr("zeekfleet.controller.checking.controller_deadline", hasty)
    async with scene(request_timeout=0.1) as it:
        one = await it.agent("a1")
        await it.known("a1")
        one.silent = True
        outcome = await it.client.deploy_config(configuration("a1"))
        assert outcome.errors == ("request timed out",)
        assert "DeployRequest" not in one.names()


async def test_the_check_can_be_switched_off() -> None:
    async with scene(check_before_deploy=False) as it:
        one = await it.agent("a1")
        one.problems = (("w-a1",),)
        await it.known("a1")
        assert (await it.client.deploy_config(configuration("a1"))).ok
        assert one.names() == ["AgentWelcomeRequest", "DeployRequest"]
        # On request it is made all the same.
        assert not (await it.client.check(configuration("a1"))).ok


async def test_what_is_deployed_again_by_itself_is_not_checked() -> None:
    network = MemoryNetwork()
    store = MemoryStore()
    store.put({ConfigState.DEPLOYED: configuration("a1")})
    async with MemoryEndpoint(network, "controller") as endpoint, MemoryEndpoint(network, "a1") as theirs:
        await endpoint.listen("127.0.0.1", 2150)
        agent = ScriptedAgent("a1", theirs)
        agent.problems = (("w-a1",),)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(DEADLINE):
            running = [
                tasks.create_task(Controller(ControllerOptions("c"), endpoint, store).run()),
                tasks.create_task(agent.serve()),
            ]
            theirs.peer("127.0.0.1", 2150)
            await agent.deployed.wait()
            for task in running:
                task.cancel()
        assert agent.names() == ["AgentWelcomeRequest", "DeployRequest"]


async def test_a_check_on_request_tells_all_and_touches_nothing() -> None:
    async with scene() as it:
        one, old, two = await it.agent("a1"), await it.agent("a2", able=False), await it.agent("a3")
        await it.known("a1", "a2", "a3")
        two.problems = (("w-a3",),)
        outcome = await it.client.check(configuration("a1", "a2", "a3", "a4"))
        assert not outcome.ok
        assert outcome.instances == ("a1",)
        assert list(outcome.unchecked) == ["a2"]
        assert [(finding.instance, finding.nodes) for finding in outcome.findings] == [("a3", ("w-a3",)), ("a4", ())]
        assert one.names() == ["AgentCheckRequest"]
        assert old.asked == []
        assert it.store.get(ConfigState.STAGED) is None
        stray = Configuration(nodes=(Node("w", "nowhere", ClusterRole.WORKER, State.PENDING),))
        assert [finding.error for finding in (await it.client.check(stray)).findings] == [
            "node 'w' has undeclared instance name 'nowhere'"
        ]
        assert (await it.client.check(Configuration())).ok


async def test_nobody_can_speak_for_another_agent() -> None:
    async with scene() as it:
        old, new = await it.agent("a1", able=False), await it.agent("a2")
        await it.known("a1", "a2")
        new.endpoint.publish(topics.agent("a1"), checks.NotifyCapabilities("a1", frozenset({checks.CHECK})))
        new.endpoint.publish(topics.agent("a2"), checks.NotifyCapabilities("a1", frozenset({checks.CHECK})))
        assert (await it.client.check(configuration("a2"))).ok  # the answer comes after what a2 sent before
        outcome = await it.client.check(configuration("a1"))
        assert list(outcome.unchecked) == ["a1"]
        assert "AgentCheckRequest" not in old.names()
