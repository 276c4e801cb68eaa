"""Requests to a supervisor that may be away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from zeekfleet.agent.control import SupervisorControl
from zeekfleet.broker.events import supervision
from zeekfleet.broker.events import supervisor as events
from zeekfleet.broker.events.base import Event
from zeekfleet.errors import RequestTimeoutError
from zeekfleet.model.supervisor import NodeConfig


class Supervisor:
    """Replaces the bus of a supervisor; a request before the supervisor is connected fails the test."""

    def __init__(self) -> None:
        self.there = False
        self.asked: list[tuple[Event, float]] = []

    async def request(self, topic: str, event: Event, timeout: float) -> Event:
        assert self.there
        self.asked.append((event, timeout))
        assert isinstance(event, events.CreateRequest)
        return events.CreateResponse(event.reqid, "")


async def test_a_request_waits_for_a_supervisor_that_is_away() -> None:
    supervisor = Supervisor()
    control = SupervisorControl(supervisor, 60, 70)  # type: ignore[arg-type]
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(control.create(NodeConfig("a")))
        await asyncio.sleep(0)
        assert supervisor.asked == []
        supervisor.there = True
        control.found()
        assert await first == ""
    [(_, timeout)] = supervisor.asked
    assert timeout <= 60


async def test_a_connected_supervisor_is_asked_at_once_with_the_full_timeout() -> None:
    supervisor = Supervisor()
    supervisor.there = True
    control = SupervisorControl(supervisor, 60, 70)  # type: ignore[arg-type]
    control.found()
    assert await control.create(NodeConfig("a")) == ""
    assert [timeout for _, timeout in supervisor.asked] == [60]


async def test_a_supervisor_that_does_not_come_back_in_time() -> None:
    supervisor = Supervisor()
    control = SupervisorControl(supervisor, 0.01, 0.01)  # type: ignore[arg-type]
    control.found()
    control.lost()
    with pytest.raises(RequestTimeoutError, match=r"within 0\.01 s"):
        await control.status()
    assert not await control.destroy("a")
    with pytest.raises(RequestTimeoutError, match="was not answered"):
        await control.create(NodeConfig("a"))
    assert supervisor.asked == []


class Stopping:
    """Replaces the bus of a supervisor whose nodes stop slowly."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.stopped = asyncio.Event()
        self.published: list[Event] = []

    async def request(self, topic: str, event: Event, timeout: float) -> Event:
        self.asked.set()
        await self.stopped.wait()
        assert isinstance(event, events.DestroyRequest)
        return events.DestroyResponse(event.reqid, True)

    def publish(self, topic: str, event: Event) -> None:
        self.published.append(event)


class Watched(SupervisorControl):
    """Shows the deadline that is being extended."""

    deadline: asyncio.Timeout | None = None

    @contextmanager
    def extending(self, deadline: asyncio.Timeout, seconds: float) -> Iterator[None]:
        self.deadline = deadline
        with super().extending(deadline, seconds):
            yield
        self.deadline = None


async def test_the_time_out_of_a_stop_starts_anew_while_the_node_works() -> None:
    endpoint = Stopping()
    control = Watched(endpoint, 60, 100)  # type: ignore[arg-type]
    control.found()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        stop = asyncio.create_task(control.destroy("logger"))
        await endpoint.asked.wait()
        deadline = control.deadline
        assert deadline is not None
        deadline.reschedule(loop.time() + 25)
        control.still_working()
        assert (deadline.when() or 0) > loop.time() + 30
        endpoint.stopped.set()
        assert await stop
        assert control.deadline is None

        endpoint.asked.clear()
        endpoint.stopped.clear()
        stop = asyncio.create_task(control.destroy("logger"))
        await endpoint.asked.wait()
        assert control.deadline is not None
        control.deadline.reschedule(loop.time())
        assert not await stop


async def test_an_extension_never_brings_a_deadline_nearer() -> None:
    control = SupervisorControl(Stopping(), 60, 100)  # type: ignore[arg-type]
    async with asyncio.timeout(1000) as deadline:
        before = deadline.when()
        await asyncio.sleep(0)
        with control.extending(deadline, 5):
            control.still_working()
        assert deadline.when() == before


async def test_hurry_is_sent_only_for_named_nodes() -> None:
    endpoint = Stopping()
    control = SupervisorControl(endpoint, 60, 100)  # type: ignore[arg-type]
    control.hurry(frozenset({"logger"}))
    control.hurry(frozenset())
    assert endpoint.published == [supervision.Hurry(frozenset({"logger"}))]
