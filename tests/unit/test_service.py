"""One request at a time through the service: lookup, rule, admission, guard, reply."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from zeekfleet.agent.check import ConfigurationCheck
from zeekfleet.agent.orders import Orders
from zeekfleet.agent.permission import Permission
from zeekfleet.agent.views import Views
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent, checks, releases, stops, supervisor
from zeekfleet.broker.events.base import Event, Request
from zeekfleet.broker.events.certificates import RenewalRequest
from zeekfleet.broker.generations import FIRST, SECOND, Generation
from zeekfleet.controller.certificates import Certificates
from zeekfleet.controller.deployment_requests import DeploymentRequests
from zeekfleet.controller.notifications import NotificationKeeper
from zeekfleet.controller.presence import Presence
from zeekfleet.controller.requests import ClientRequests
from zeekfleet.errors import ConfigurationError, RequestFailedError, StoreError
from zeekfleet.model.management import Configuration, Result
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor.control import SupervisorControl
from zeekfleet.transport.admission import Admission
from zeekfleet.transport.bus import Bus, Delivery, Peer
from zeekfleet.transport.service import Context, Service, handler, handlers_of

TOPIC = topics.agent("a1")
PEER = Peer(1, "c", "127.0.0.1", "127.0.0.1:1")


class FakeBus:
    """Keeps what is published."""

    reply = Bus.reply

    def __init__(self) -> None:
        self.published: list[tuple[str, Event, Generation, Peer | None]] = []
        self.breaks = False

    def publish(self, topic: str, event: Event, generation: Generation, *, to: Peer | None) -> None:
        if self.breaks:
            self.breaks = False
            raise ValueError("cannot be written")
        self.published.append((topic, event, generation, to))

    @property
    def events(self) -> list[Event]:
        return [event for _, event, _, _ in self.published]


class Handlers:
    """One of each kind."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.error: Exception | None = None
        self.heard: list[Any] = []

    @handler
    def welcome(self, request: agent.AgentWelcomeRequest, context: Context) -> agent.AgentWelcomeResponse:
        self.heard.append((request, context))
        return agent.AgentWelcomeResponse(request.reqid, Result(request.reqid))

    @handler
    async def get_nodes(self, request: agent.GetNodesRequest, context: Context) -> agent.GetNodesResponse:
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return agent.GetNodesResponse(request.reqid, Result(request.reqid))

    @handler
    async def restart(self, request: agent.RestartRequest, context: Context) -> agent.RestartResponse | None:
        return None

    @handler
    async def deploy(self, request: agent.DeployRequest, context: Context) -> agent.DeployResponse:
        assert self.error is not None
        raise self.error

    @handler
    def set_first(self, request: agent.SetConfigurationRequest, context: Context) -> agent.SetConfigurationResponse:
        self.heard.append(request)
        return agent.SetConfigurationResponse(request.reqid, Result(request.reqid))

    @handler
    def hurry(self, event: stops.AgentHurry, context: Context) -> None:
        self.heard.append(event)

    @handler
    async def create(self, request: supervisor.CreateRequest, context: Context) -> supervisor.CreateResponse:
        raise ValueError("no")

    @handler
    async def ports(self, request: checks.AgentPortsRequest, context: Context) -> checks.AgentPortsResponse:
        raise ValueError("no")

    def releases(self, request: releases.AgentReleasesRequest, context: Context) -> None:
        raise AssertionError("it is not marked")


class Scene:
    def __init__(self, tasks: asyncio.TaskGroup, **options: Any) -> None:
        self.bus, self.handlers = FakeBus(), Handlers()
        options.setdefault("admission", Admission(100, 100, "requests"))
        self.service = Service(
            self.bus,
            TOPIC,
            "the agent",
            tasks,
            (self.handlers,),
            instance="a1",
            **options,  # type: ignore[arg-type]
        )

    async def hear(self, event: Event, generation: Generation = SECOND, topic: str = TOPIC, peer: Peer = PEER) -> None:
        await self.service.hear(Delivery(topic, event, generation, peer))


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        yield Scene(tasks, **options)


async def test_a_plain_function_is_answered_at_once_in_the_senders_generation() -> None:
    async with scene() as made:
        await made.hear(agent.GetNodesRequest("slow"))
        await made.hear(agent.AgentWelcomeRequest("r"), FIRST)
        answer = agent.AgentWelcomeResponse("r", Result("r"))
        assert made.bus.published == [(TOPIC, answer, FIRST, None)]
        assert made.handlers.heard == [(agent.AgentWelcomeRequest("r"), Context(PEER, FIRST))]
        made.handlers.go_on.set()
    assert made.bus.events[1:] == [agent.GetNodesResponse("slow", Result("slow"))]


async def test_requests_on_other_topics_are_ignored() -> None:
    async with scene() as made:
        await made.hear(agent.AgentWelcomeRequest("r"), topic=TOPIC + "0")
        await made.hear(releases.AgentReleasesRequest("r"))
        await made.hear(agent.NotifyLog("a1", "text"))
    assert made.bus.published == []
    assert made.handlers.heard == []


async def test_events_without_a_response_are_not_answered() -> None:
    async with scene() as made:
        await made.hear(stops.AgentHurry(frozenset()))
        await made.hear(agent.RestartRequest("r"))
    assert made.bus.published == []
    assert made.handlers.heard == [stops.AgentHurry(frozenset())]


async def test_responses_of_the_supervisor_have_their_own_topics_and_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as made:
        await made.hear(supervisor.CreateRequest("r", NodeConfig("n")))
    answer = supervisor.CreateResponse("r", "the agent failed; see its log")
    assert made.bus.published == [("zeek/supervisor/create_response/r", answer, SECOND, None)]
    [line] = caplog.records
    assert (line.levelno, line.exc_info is not None) == (logging.ERROR, True)


@pytest.mark.parametrize(
    ("error", "told", "level", "has_traceback"),
    [
        (RequestFailedError("r", "not now"), "not now", None, False),
        (StoreError("no room in a\udcff"), "no room in a?", logging.WARNING, False),
        (ValueError("secret"), "the agent failed; see its log", logging.ERROR, True),
    ],
)
async def test_an_error_is_an_answer(
    error: Exception, told: str, level: int | None, has_traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with scene() as made:
        made.handlers.error = error
        made.handlers.go_on.set()
        await made.hear(agent.GetNodesRequest("r"))
    assert made.bus.events == [agent.GetNodesResponse("r", Result("r", False, "a1", error=told))]
    assert [(line.levelno, line.exc_info is not None) for line in caplog.records] == [
        (number, has_traceback) for number in (level,) if number is not None
    ]


async def test_a_response_that_cannot_be_written_is_an_error_too() -> None:
    async with scene() as made:
        made.bus.breaks = True
        await made.hear(agent.AgentWelcomeRequest("r"))
    [answer] = made.bus.events
    assert isinstance(answer, agent.AgentWelcomeResponse)
    assert answer.result.error == "the agent failed; see its log"


async def test_a_response_that_cannot_report_an_error_is_not_sent() -> None:
    async with scene() as made:
        await made.hear(checks.AgentPortsRequest("r"))
    assert made.bus.published == []


async def test_a_refusal_goes_only_to_the_sender_and_only_with_a_request_id() -> None:
    async with scene(rule=lambda event, context: "held by another") as made:
        await made.hear(agent.GetNodesRequest("r"))
        await made.hear(agent.GetNodesRequest(""))
        await made.hear(stops.AgentHurry(frozenset()))
    refusal = agent.GetNodesResponse("r", Result("r", False, "a1", error="held by another"))
    assert made.bus.published == [(TOPIC, refusal, SECOND, PEER)]
    assert made.handlers.heard == []


async def test_a_flood_is_refused_beyond_the_limit_and_leaves_room_for_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = Peer(2, "d", "127.0.0.1", "127.0.0.1:2")
    async with scene(admission=Admission(3, 2, "requests")) as made:
        for number in range(4):
            await made.hear(agent.GetNodesRequest(str(number)))
        await made.hear(agent.GetNodesRequest("other"), peer=other)
        await made.hear(agent.GetNodesRequest("late"), peer=other)
        await made.hear(agent.AgentWelcomeRequest("plain"))
        made.handlers.go_on.set()
    events = made.bus.events
    assert [event.reqid for event in events] == ["2", "3", "late", "plain", "0", "1", "other"]  # type: ignore[attr-defined]
    refused = "too many requests are under way: at most 2 of one kind and peer, and 3 in all"
    assert [event.result.error for event in events[:3]] == [refused] * 3  # type: ignore[attr-defined]
    assert [line.levelno for line in caplog.records] == [logging.WARNING]


async def test_requests_of_one_kind_leave_room_for_those_of_another() -> None:
    async with scene(admission=Admission(3, 1, "requests")) as made:
        await made.hear(agent.GetNodesRequest("1"))
        await made.hear(agent.GetNodesRequest("2"))
        await made.hear(supervisor.CreateRequest("3", NodeConfig("n1")))
        made.handlers.go_on.set()
    assert [event.reqid for event in made.bus.events] == ["2", "1", "3"]  # type: ignore[attr-defined]


async def test_requests_beyond_the_limit_wait_if_none_may_be_dropped() -> None:
    async with scene(admission=Admission(1, 1, "requests", waits=True)) as made:
        await made.hear(agent.GetNodesRequest("1"))
        waiting = asyncio.create_task(made.hear(agent.GetNodesRequest("2")))
        await asyncio.sleep(0)
        assert not waiting.done()
        made.handlers.go_on.set()
        await waiting
    assert [event.reqid for event in made.bus.events] == ["1", "2"]  # type: ignore[attr-defined]


class Wrong:
    @handler
    def welcome(self, request: agent.AgentWelcomeRequest, context: Context) -> agent.GetNodesResponse | None:
        return None


class Silent:
    @handler
    def welcome(self, request: agent.AgentWelcomeRequest, context: Context) -> None:
        return None


@pytest.mark.parametrize("holders", [(Wrong(),), (Silent(),), (Handlers, Handlers)])
async def test_a_wrongly_declared_handler_is_an_error_at_the_start(holders: tuple[Any, ...]) -> None:
    made = tuple(holder() if isinstance(holder, type) else holder for holder in holders)
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(TypeError):
            Service(FakeBus(), TOPIC, "the agent", tasks, made, Admission(1, 1, "requests"))  # type: ignore[arg-type]


async def test_every_problem_of_a_configuration_is_reported() -> None:
    async with scene() as made:
        made.handlers.error = ConfigurationError(("one", "two"))
        made.handlers.go_on.set()
        await made.hear(agent.GetNodesRequest("r"))
        await made.hear(agent.DeployRequest("d", Configuration()))
    deployed = agent.DeployResponse("d", tuple(Result("d", False, "a1", error=error) for error in ("one", "two")))
    assert made.bus.events == [agent.GetNodesResponse("r", Result("r", False, "a1", error="one; two")), deployed]


async def test_a_first_generation_configuration_without_an_id_is_not_answered() -> None:
    async with scene() as made:
        await made.hear(agent.SetConfigurationRequest("", Configuration("c")), FIRST)
        await made.hear(agent.SetConfigurationRequest("r", Configuration("c")), FIRST)
    assert made.bus.events == [agent.SetConfigurationResponse("r", Result("r"))]
    assert [request.reqid for request in made.handlers.heard] == ["", "r"]


DAEMONS = (
    (Permission, Orders, Views, ConfigurationCheck),
    (ClientRequests, DeploymentRequests, Presence, NotificationKeeper, Certificates),
    (SupervisorControl,),
)


def test_each_request_of_the_protocol_has_one_handler() -> None:
    """Whose response is the one that the request declares: otherwise no handler is found here."""
    handled = [event for daemon in DAEMONS for part in daemon for event, _ in handlers_of(object.__new__(part))]
    assert len(handled) == len(set(handled))
    events = {*SECOND.events.values(), *FIRST.events.values()}
    # An agent asks for its renewal on its own topic, where no service listens.
    elsewhere = {RenewalRequest}
    assert {event for event in events if issubclass(event, Request)} <= set(handled) | elsewhere


@pytest.mark.parametrize("module", [module for daemon in DAEMONS for part in daemon for module in [part.__module__]])
def test_handlers_get_what_they_declare_and_need_not_assert_it(module: str) -> None:
    assert "assert isinstance" not in inspect.getsource(sys.modules[module])
