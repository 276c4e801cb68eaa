"""Sends requests to several agents at once. Agents that do not answer in time do not delay the others' answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Request, Response, ResultResponse, ResultsResponse
from zeekfleet.broker.generations import Generation
from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.controller.progress_timeouts import ProgressTimeouts
from zeekfleet.errors import FrameTooLargeError, RequestTimeoutError
from zeekfleet.model.management import TIMED_OUT, Result, fresh_id
from zeekfleet.planning.deadlines import CEILING
from zeekfleet.transport.bus import Bus

UNSUPPORTED = "not supported by this instance's agent"

MakeRequest = Callable[[str, Generation], Request[Response] | None]
"""Makes the request for an agent, from a fresh id and the agent's generation; None if that has no such request."""


class Answer(msgspec.Struct, frozen=True):
    """The response of one agent, or None and the reason why there is none."""

    instance: str
    response: Response | None
    error: str = TIMED_OUT


async def ask(
    bus: Bus,
    agents: Iterable[tuple[str, AgentLink]],
    make_request: MakeRequest,
    timeout: float,
    *,
    timeouts: ProgressTimeouts | None = None,
    limit: float = CEILING,
) -> list[Answer]:
    """Send each agent its request and gather the answers, in the order of the agents.

    Args:
        bus: the controller's bus.
        agents: the agents with their instances' names.
        make_request: makes the request for each agent.
        timeout: seconds to wait for each agent; with ``timeouts``, counted from its last progress.
        timeouts: renewed when an instance makes progress.
        limit: the most seconds to wait for each agent, whatever progress it makes.
    """

    async def one(name: str, known: AgentLink) -> Answer:
        request = make_request(fresh_id(), known.generation)
        if request is None:
            return Answer(name, None, UNSUPPORTED)
        try:
            async with (timeouts or ProgressTimeouts()).on(name, timeout, limit):
                response = await bus.request(topics.agent(name), request, limit, known.generation, to=known.peer)
        except (TimeoutError, RequestTimeoutError):
            return Answer(name, None)
        except FrameTooLargeError as error:
            return Answer(name, None, str(error))
        return Answer(name, response)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(name, known)) for name, known in agents]
    return [task.result() for task in tasks]


def results_of(reqid: str, answers: Iterable[Answer]) -> list[Result]:
    """The agents' results, with the client's request id, and an error for each agent that has not answered."""
    results: list[Result] = []
    for answer in answers:
        if answer.response is None:
            results.append(Result(reqid, False, answer.instance, error=answer.error))
        else:
            results.extend(msgspec.structs.replace(result, reqid=reqid) for result in _results(answer.response))
    return results


def _results(response: Response) -> tuple[Result, ...]:
    match response:
        case ResultResponse(result=result):
            return (result,)
        case ResultsResponse(results=results):
            return results
    return ()
