"""A controller, agents and clients on a bus that tells nothing of connections."""

from __future__ import annotations

import asyncio
import time

import pytest
from scene import DEADLINE, Scene, configuration, scene

from support.bare_bus import BareBus
from support.recorder import Recorder
from zeekfleet import Client
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.notifications import NotificationKept
from zeekfleet.broker.events.presence import AgentHelloRequest, NotifyAlive
from zeekfleet.broker.events.refusals import AgentRefused
from zeekfleet.controller import liveness
from zeekfleet.transport.bus import BusEvent, Delivery
from zeekfleet.transport.memory import MemoryBus

LEASE, REPRIEVE = 0.2, 0.2
"""Seconds; the time for which a silent agent counts as present."""


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "LEASE", LEASE)
    monkeypatch.setattr(liveness, "REPRIEVE", REPRIEVE)


class News:
    """What the controller tells of agents that come and go, in order."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def tell(self, instance: str, kind: str, times: int = 1) -> str:
        """Wait until that has been told so often; the last one's text."""

        def is_told(_: BusEvent) -> bool:
            return len(self.of(instance, kind)) >= times

        await self._recorder.wait_for(is_told, DEADLINE)
        return self.of(instance, kind)[-1]

    def of(self, instance: str, kind: str) -> list[str]:
        """The texts of what was told so far."""
        events = [received.event for received in self._recorder.seen if isinstance(received, Delivery)]
        told = [event.notification for event in events if isinstance(event, NotificationKept)]
        return [one.message for one in told if (one.instance, one.kind) == (instance, kind)]


async def present(it: Scene) -> dict[str, bool]:
    """Which instances are connected."""
    return {one.name: one.connected for one in (await it.client.wanted()).presences.values()}


async def test_a_silent_agent_is_gone_and_comes_back() -> None:
    async with scene(bare=True) as it:
        news = News(await it.listener())
        await it.agent("stock")  # one that has promised nothing is never taken for gone
        agent = await it.agent("a1", renews=True)
        await news.tell("stock", "connected")
        await news.tell("a1", "connected")
        assert await news.tell("a1", "gone") == "nothing was heard of it for 0.4 s"
        assert await present(it) == {"stock": True}

        agent.tell(NotifyAlive("a1"))
        await agent.was_asked(AgentHelloRequest)
        await news.tell("a1", "connected", times=2)
        await news.tell("a1", "gone", times=2)
        assert news.of("stock", "gone") == []


async def test_a_configured_instance_that_comes_back_is_welcomed_again() -> None:
    async with scene(bare=True) as it:
        news = News(await it.listener())
        agent = await it.agent("a1", renews=True)
        await news.tell("a1", "connected")
        deploying = asyncio.create_task(it.client.deploy_config(configuration("a1")))
        async with asyncio.timeout(DEADLINE):
            while not deploying.done():  # it is silent but for this
                agent.tell(NotifyAlive("a1"))
                await it.client.get_instances()
        assert (await deploying).ok
        await news.tell("a1", "gone")
        assert await present(it) == {"a1": False}
        welcomes = sum(isinstance(asked, api.AgentWelcomeRequest) for asked in agent.asked)
        agent.tell(NotifyAlive("a1"))
        await agent.was_asked(api.AgentWelcomeRequest, welcomes + 1)


async def test_an_agent_that_says_anything_is_there() -> None:
    async with scene(bare=True) as it:
        news = News(await it.listener())
        agent = await it.agent("a1", renews=True)
        loop = asyncio.get_running_loop()
        end = loop.time() + 2 * (LEASE + REPRIEVE)
        while loop.time() < end:
            agent.tell(api.NotifyLog("a1", "works"))
            await it.client.get_instances()  # a round trip
        assert await present(it) == {"a1": True}
        assert news.of("a1", "gone") == []


async def test_a_controller_that_stood_still_first_reads_what_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "LEASE", 2.0)
    monkeypatch.setattr(liveness, "REPRIEVE", 1.0)
    async with scene(bare=True) as it:
        news = News(await it.listener())
        agents = [await it.agent(name, renews=True) for name in ("a1", "a2", "a3")]
        await it.known("a1", "a2", "a3")
        for agent in agents:
            agent.tell(NotifyAlive(agent.name))
        time.sleep(2.5)  # noqa: ASYNC251 - the whole process stands still
        assert await present(it) == {"a1": True, "a2": True, "a3": True}
        assert [news.of(agent.name, "gone") for agent in agents] == [[], [], []]


async def test_a_controller_that_is_new_learns_who_is_there_by_their_signs_of_life() -> None:
    async with scene(bare=True) as it:
        agent = await it.agent("a1", renews=True, introduces_itself=False)
        news = News(await it.listener())
        assert await present(it) == {}
        agent.tell(NotifyAlive("a1"))
        await news.tell("a1", "connected")


async def test_an_agent_that_is_refused_is_not_asked_who_it_is() -> None:
    async with scene(bare=True) as it:
        first = await it.agent("a1")
        await it.known("a1")
        second = await it.agent("a1", renews=True)
        await second.was_asked(AgentRefused)
        second.tell(NotifyAlive("a1"))
        second.tell(NotifyAlive("b1"))  # not on its own topic
        await first.was_asked(AgentHelloRequest, 0)
        await it.client.get_instances()
        assert AgentHelloRequest not in [type(event) for event in second.asked]


async def test_a_client_waits_for_no_connection_where_none_is_told_of() -> None:
    async with scene() as it:
        bus = BareBus(MemoryBus(it.network, "bare"), ("127.0.0.1", 2150))
        seen: list[Delivery] = []
        async with Client(timeout=DEADLINE, bus=bus, watcher=seen.append) as client:
            agent = await it.agent("a1")
            await it.known("a1")
            assert (await client.deploy_config(configuration("a1"))).ok
            assert [instance.name for instance in await client.get_instances()] == ["a1"]
            agent.tell(NotifyAlive("a1"))
            agent.tell(api.NotifyLog("a1", "works"))
            async with asyncio.timeout(DEADLINE):
                while api.NotifyLog not in [type(delivery.event) for delivery in seen]:
                    await client.get_instances()
        assert NotifyAlive not in [type(delivery.event) for delivery in seen]
