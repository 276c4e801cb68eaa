"""Peers at the agents' port that are not who they say, beside two agents that are: what these hear and are spared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from support.recorder import Recorder
from zeekfleet import Client
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.refusals import AgentRefused, DeploymentNumber
from zeekfleet.broker.events.secrets import ClusterKeys
from zeekfleet.controller import agents
from zeekfleet.controller.controller import Controller, ControllerOptions
from zeekfleet.daemon import buses
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Result
from zeekfleet.model.types import Address
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.bus import BusEvent, Delivery
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork

PATIENCE = 30.0
CLIENTS, AGENTS = 2149, 2150


class Agent(Recorder):
    """One that does as it is told, and keeps what it heard."""

    def __init__(self, endpoint: MemoryBus, name: str) -> None:
        super().__init__(endpoint, self._react)
        self.endpoint = endpoint
        self.name = name
        self.topic = topics.agent(name)
        for topic in (self.topic, topics.secrets(name)):
            endpoint.subscribe(topic)

    def hello(self, version: int = api.API_VERSION, *, name: str = "") -> None:
        said = api.NotifyAgentHello(name or self.name, self.endpoint.id, True, version)
        self.endpoint.publish(topics.agent(name or self.name), said)

    def heard(self, kind: type[Event]) -> list[Event]:
        return [seen.event for seen in self.deliveries if isinstance(seen.event, kind)]

    def _react(self, received: BusEvent) -> None:
        if not isinstance(received, Delivery) or received.topic != self.topic:
            return
        match received.event:
            case api.AgentWelcomeRequest(reqid=reqid):
                self.endpoint.reply(received, api.AgentWelcomeResponse(reqid, Result(reqid, instance=self.name)))
            case api.DeployRequest(reqid=reqid):
                self.endpoint.reply(received, api.DeployResponse(reqid, (Result(reqid, instance=self.name),)))


class Scene:
    def __init__(self, stack: AsyncExitStack, network: MemoryNetwork, client: Client) -> None:
        self._stack = stack
        self._network = network
        self.client = client

    async def peer(self, name: str, hears: tuple[str, ...] = (), host: str = "127.0.0.1") -> Agent:
        """A peer at the agents' port that says nothing yet."""
        endpoint = await self._stack.enter_async_context(MemoryBus(self._network, name, host=host))
        agent = await self._stack.enter_async_context(Agent(endpoint, name))
        for topic in hears:
            endpoint.subscribe(topic)
        endpoint.dial("127.0.0.1", AGENTS)
        await agent.added()
        return agent

    async def agent(self, name: str) -> Agent:
        agent = await self.peer(name)
        agent.hello()
        async with asyncio.timeout(PATIENCE):
            while name not in [instance.name for instance in await self.client.get_instances()]:
                continue  # each try is a round trip
        return agent


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    network = MemoryNetwork()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        endpoint = await stack.enter_async_context(MemoryBus(network, "controller"))
        await endpoint.listen("127.0.0.1", CLIENTS, policy=buses.clients_policy("c", "admin"))
        await endpoint.listen("127.0.0.1", AGENTS, policy=buses.agents_policy(and_clients=True))
        options = ControllerOptions("c", request_timeout=PATIENCE)
        running = tasks.create_task(Controller(options, endpoint, endpoint, MemoryStore()).run())
        client = Client("127.0.0.1", CLIENTS, timeout=PATIENCE, bus=MemoryBus(network, "client"))
        async with client:
            yield Scene(stack, network, client)
        running.cancel()


def two_hosts() -> Configuration:
    """Instances a and b on two hosts, so that keys are handed out."""
    instances = (Instance("a", Address("127.0.0.1")), Instance("b", Address("127.0.0.2")))
    nodes = tuple(Node(f"w-{name}", name, ClusterRole.WORKER, State.PENDING) for name in ("a", "b"))
    return Configuration(instances=instances, nodes=nodes)


async def test_keys_and_orders_go_to_the_instance_alone_that_they_are_for() -> None:
    async with scene() as it:
        everything = (topics.AGENT_PREFIX, topics.SECRETS_PREFIX, topics.CONTROLLER)
        stranger = await it.peer("stranger", everything)
        a, b = await it.agent("a"), await it.agent("b")
        assert (await it.client.deploy_config(two_hosts())).ok
        for agent in (a, b):
            assert len(agent.heard(ClusterKeys)) == 1
            (order,) = agent.heard(api.DeployRequest)
            (number,) = agent.heard(DeploymentNumber)
            assert getattr(number, "reqid") == getattr(order, "reqid")  # noqa: B009 - of two classes
        told = {type(seen.event) for seen in stranger.deliveries}
        assert told.isdisjoint({ClusterKeys, DeploymentNumber, api.DeployRequest, api.AgentWelcomeRequest}), told


async def test_nobody_else_commands_an_agent_through_the_controller() -> None:
    async with scene() as it:
        a, stranger = await it.agent("a"), await it.peer("stranger", (topics.agent("a"),))
        stranger.endpoint.publish(a.topic, api.AgentStandbyRequest("s"))
        stranger.endpoint.publish(a.topic, api.DeployRequest("d", two_hosts()))
        stranger.hello(name="a")
        await stranger.event(AgentRefused)  # so what it said before has been dealt with
        assert (await it.client.deploy_config(Configuration(instances=(Instance("a"),)))).ok
        assert a.heard(api.AgentStandbyRequest) == []
        assert [getattr(order, "reqid") for order in a.heard(api.DeployRequest)] != ["d"]  # noqa: B009
        assert len(a.heard(api.DeployRequest)) == 1


async def test_another_version_is_turned_away_and_the_established_agent_left_alone() -> None:
    async with scene() as it:
        a, b = await it.agent("a"), await it.agent("b")
        assert (await it.client.deploy_config(two_hosts())).ok
        stranger = await it.peer("stranger", (a.topic,))
        stranger.hello(version=2, name="a")
        refusal = (await stranger.event(AgentRefused)).event
        assert refusal == AgentRefused("a", "instance a has checked in with incompatible API version 2")
        assert [instance.name for instance in await it.client.get_instances()] == ["a", "b"]
        again = await it.client.deploy_config(two_hosts())
        assert again.ok
        for agent in (a, b):
            assert agent.heard(api.AgentStandbyRequest) == agent.heard(AgentRefused) == []
            assert len(agent.heard(api.AgentWelcomeRequest)) == 1


async def test_an_established_agent_that_says_so_itself_is_forgotten_and_keeps_its_nodes() -> None:
    async with scene() as it:
        a, _ = await it.agent("a"), await it.agent("b")
        a.hello(version=2)
        await a.event(AgentRefused)
        assert [instance.name for instance in await it.client.get_instances()] == ["b"]
        assert a.heard(api.AgentStandbyRequest) == []


@pytest.mark.parametrize("first_goes", [False, True])
async def test_a_namesake_waits_for_the_first_ones_end(first_goes: bool) -> None:
    async with scene() as it:
        first, _ = await it.agent("a"), await it.agent("b")
        assert (await it.client.deploy_config(two_hosts())).ok
        second = await it.peer("a")
        for _ in range(3):
            second.hello()
        refusal = (await second.event(AgentRefused)).event
        assert getattr(refusal, "reason").startswith("another agent named a is connected, from 127.0.0.1:")  # noqa: B009
        going, staying = (first, second) if first_goes else (second, first)
        going.endpoint.hang_up("127.0.0.1", AGENTS)
        await going.lost()
        async with asyncio.timeout(PATIENCE):
            while not staying.heard(api.DeployRequest):
                await it.client.get_instances()
        assert (await it.client.deploy_config(two_hosts())).ok
        assert [instance.name for instance in await it.client.get_instances()] == ["a", "b"]
        assert len(second.heard(AgentRefused)) == 1
        assert len(going.heard(api.DeployRequest)) == (1 if first_goes else 0)


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_namesake_on_another_host_does_not_take_the_place_of_an_agent_that_is_started_again(
    comes_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "RESERVED", 600.0 if comes_back else 0.5)
    async with scene() as it:
        first, _ = await it.agent("a"), await it.agent("b")
        assert (await it.client.deploy_config(two_hosts())).ok
        namesake = await it.peer("a", host="127.0.0.9")
        namesake.hello()
        await namesake.event(AgentRefused)
        first.endpoint.hang_up("127.0.0.1", AGENTS)
        await first.lost()
        taken = await it.agent("a") if comes_back else namesake
        async with asyncio.timeout(PATIENCE):
            while not taken.heard(api.DeployRequest):
                await it.client.get_instances()
        assert bool(namesake.heard(api.DeployRequest)) is not comes_back
        assert (await it.client.deploy_config(two_hosts())).ok is True
