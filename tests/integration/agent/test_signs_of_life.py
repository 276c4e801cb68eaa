"""An agent gives signs of life, so that it is known to be there where no connections tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.bare_bus import BareBus
from support.recorder import Recorder
from zeekfleet.agent import agent as module
from zeekfleet.agent.agent import Agent
from zeekfleet.agent.options import AgentOptions
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import presence, supervision
from zeekfleet.broker.events import supervisor as supervisor_api
from zeekfleet.broker.events.checks import NotifyCapabilities
from zeekfleet.controller import liveness
from zeekfleet.controller.controller import Controller
from zeekfleet.controller.options import ControllerOptions
from zeekfleet.model.supervisor import Status
from zeekfleet.model.types import Address
from zeekfleet.node.simulator.links import SimulatedNodeLinks
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.bus import BusEvent, Delivery
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork

HOST, CONTROLLER_PORT, SUPERVISOR_PORT = "127.0.0.1", 2150, 9999
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.02)
    monkeypatch.setattr(liveness, "LEASE", 0.3)
    monkeypatch.setattr(liveness, "REPRIEVE", 0.1)


@asynccontextmanager
async def supervised(network: MemoryNetwork) -> AsyncIterator[None]:
    """A supervisor that runs nothing."""

    def supervise(received: BusEvent) -> None:
        match received:
            case Delivery(event=supervisor_api.StatusRequest(reqid=reqid)):
                bus.reply(received, supervisor_api.StatusResponse(reqid, Status({})))
            case Delivery(event=supervision.DetailsRequest(reqid=reqid)):
                bus.reply(received, supervision.DetailsResponse(reqid, {}))

    async with MemoryBus(network, "supervisor") as bus, Recorder(bus, supervise):
        bus.subscribe(topics.SUPERVISOR)
        await bus.listen(HOST, SUPERVISOR_PORT)
        yield


@asynccontextmanager
async def running(network: MemoryNetwork, directory: Path) -> AsyncIterator[None]:
    """The agent a1, which is told of no connections. When it ends, nobody is told of that."""
    bus, supervisor = MemoryBus(network, "a1"), MemoryBus(network, "a1")
    async with bus, supervisor:
        options = AgentOptions("a1", directory, Address(HOST), 2151, dials_controller=True)
        agent = Agent(options, BareBus(bus), supervisor, SimulatedNodeLinks(bus, directory / "socket"))
        bus.dial(HOST, CONTROLLER_PORT)
        supervisor.dial(HOST, SUPERVISOR_PORT)
        task = asyncio.create_task(agent.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def hearing(network: MemoryNetwork) -> AsyncIterator[tuple[MemoryBus, Recorder]]:
    """Who listens at the controller's port."""
    async with MemoryBus(network, "c") as bus:
        bus.subscribe(topics.AGENT_PREFIX)
        await bus.listen(HOST, CONTROLLER_PORT)
        async with Recorder(bus) as heard:
            yield bus, heard


async def test_signs_of_life_are_promised_and_given(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with supervised(network), hearing(network) as (_, heard), running(network, tmp_path):
        promise = await heard.event(NotifyCapabilities)
        assert isinstance(promise.event, NotifyCapabilities)
        assert presence.RENEWS in promise.event.names
        start = 0
        for _ in range(3):
            sign = await heard.event(presence.NotifyAlive("a1"), start)
            start = heard.seen.index(sign, start) + 1


async def test_an_agent_says_hello_when_it_is_asked_to(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with supervised(network), hearing(network) as (bus, heard), running(network, tmp_path):
        first = await heard.event(NotifyCapabilities)  # comes after the hello
        start = len(heard.seen)
        bus.publish(topics.agent("a1"), presence.AgentHelloRequest(), to=first.peer)
        await heard.event(api.NotifyAgentHello, start)
        await heard.event(NotifyCapabilities, start)


async def test_an_agent_without_supervisor_tells_that_when_it_is_asked_for_a_hello(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with hearing(network) as (bus, heard), running(network, tmp_path):
        sign = await heard.event(presence.NotifyAlive)
        bus.publish(topics.agent("a1"), presence.AgentHelloRequest(), to=sign.peer)
        told = await heard.event(presence.NotifySupervisor)
        assert isinstance(told.event, presence.NotifySupervisor)
        assert told.event.away_since is not None
        assert api.NotifyAgentHello not in [type(delivery.event) for delivery in heard.deliveries]


async def test_controller_and_agent_find_and_miss_each_other_without_connections(tmp_path: Path) -> None:
    network, store = MemoryNetwork(), MemoryStore()

    async def told(kind: str, times: int) -> None:
        """Wait until the controller has kept that."""
        async with asyncio.timeout(PATIENCE):
            while [one.kind for one in store.notifications()].count(kind) < times:
                await asyncio.to_thread(store.notifications)

    async with supervised(network), MemoryBus(network, "c") as bus:
        await bus.listen(HOST, CONTROLLER_PORT)
        task = asyncio.create_task(Controller(ControllerOptions("c"), BareBus(bus), bus, store).run())
        async with running(network, tmp_path / "1"):
            await told("connected", 1)
        await told("gone", 1)
        assert store.notifications()[-1].message == "nothing was heard of it for 0.4 s"
        async with running(network, tmp_path / "2"):
            await told("connected", 2)
        task.cancel()
        await asyncio.wait([task])
