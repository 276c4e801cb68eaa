"""Asking several agents at once, with one deadline; what came back in time is told with what did not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import Generation
from zeekfleet.controller.instances import Known
from zeekfleet.errors import RequestTimeoutError
from zeekfleet.model.management import Result, fresh_id
from zeekfleet.transport.endpoint import Endpoint

TIMED_OUT = "request timed out"

MakeRequest = Callable[[str, Generation], Event | None]
"""The request for an agent, given a fresh id and the generation it speaks; None if that has none."""


class Answer(msgspec.Struct, frozen=True):
    """What one agent answered, or None if it did not in time."""

    instance: str
    response: Event | None
    unsupported: bool = False


async def ask(
    endpoint: Endpoint, agents: Iterable[tuple[str, Known]], make_request: MakeRequest, timeout: float
) -> list[Answer]:
    """Send each agent its request and gather the answers, in the order of the agents.

    Args:
        endpoint: the controller's.
        agents: by name.
        make_request: see there.
        timeout: seconds for all of it.
    """

    async def one(name: str, known: Known) -> Answer:
        request = make_request(fresh_id(), known.generation)
        if request is None:
            return Answer(name, None, unsupported=True)
        try:
            return Answer(name, await endpoint.request(topics.agent(name), request, timeout, known.generation))
        except RequestTimeoutError:
            return Answer(name, None)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(name, known)) for name, known in agents]
    return [task.result() for task in tasks]


def results_of(reqid: str, answers: Iterable[Answer]) -> list[Result]:
    """The agents' results under the client's request id, and an error for each agent without an answer."""
    results: list[Result] = []
    for answer in answers:
        if answer.unsupported:
            results.append(Result(reqid, False, answer.instance, error="not supported by this instance's agent"))
        elif answer.response is None:
            results.append(Result(reqid, False, answer.instance, error=TIMED_OUT))
        else:
            results.extend(msgspec.structs.replace(result, reqid=reqid) for result in _results(answer.response))
    return results


def _results(response: Event) -> tuple[Result, ...]:
    several: tuple[Result, ...] | None = getattr(response, "results", None)
    return several if several is not None else (response.result,)  # type: ignore[attr-defined]
