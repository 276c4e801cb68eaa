"""Requests to a supervisor that comes and goes."""

from __future__ import annotations

import asyncio

import pytest

from zeekfleet.agent.control import SupervisorControl
from zeekfleet.broker.events import supervisor as events
from zeekfleet.broker.events.base import Event
from zeekfleet.errors import RequestTimeoutError
from zeekfleet.model.supervisor import NodeConfig


class Supervisor:
    """Stands in for the endpoint; what is asked before it is there is a failure."""

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


async def test_there_it_is_asked_at_once_and_has_all_the_time() -> None:
    supervisor = Supervisor()
    supervisor.there = True
    control = SupervisorControl(supervisor, 60, 70)  # type: ignore[arg-type]
    control.found()
    assert await control.create(NodeConfig("a")) == ""
    assert [timeout for _, timeout in supervisor.asked] == [60]


async def test_one_that_does_not_come_back_in_time() -> None:
    supervisor = Supervisor()
    control = SupervisorControl(supervisor, 0.01, 0.01)  # type: ignore[arg-type]
    control.found()
    control.lost()
    with pytest.raises(RequestTimeoutError, match=r"within 0\.01 s"):
        await control.status()
    assert not await control.destroy("a")
    assert "was not answered" in await control.create(NodeConfig("a"))
    assert supervisor.asked == []
