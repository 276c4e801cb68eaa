"""The Supervisor by events: ``SupervisorControl`` (docs/protocol.md, section 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from zeekfleet.broker import topics
from zeekfleet.broker.events import releases, supervision
from zeekfleet.broker.events import supervisor as events
from zeekfleet.errors import StemError
from zeekfleet.model.supervisor import Status
from zeekfleet.supervisor.failing import SIGNALS
from zeekfleet.supervisor.records import NodeExit, NodeStopping
from zeekfleet.supervisor.tree import Supervisor
from zeekfleet.transport.endpoint import Delivery, Endpoint

logger = logging.getLogger(__name__)

MAX_CONCURRENT = 1024
"""Requests carried out at the same time; more wait in the endpoint's bounded queue."""


class SupervisorControl:
    """Answers requests on ``zeek/supervisor``, and publishes starts and ends of nodes.

    Args:
        supervisor: the tree.
        endpoint: this side of the wire; the caller has it listen.
        stop: called at a ``stop_request``; has the tree stopped and the process ended.
    """

    def __init__(self, supervisor: Supervisor, endpoint: Endpoint, stop: Callable[[], None]) -> None:
        self._supervisor = supervisor
        self._endpoint = endpoint
        self._stop = stop
        self._free = asyncio.Semaphore(MAX_CONCURRENT)
        endpoint.subscribe(topics.SUPERVISOR)
        supervisor.on_node_status(self._started)
        supervisor.on_node_exit(self._ended)
        supervisor.on_node_stopping(self._stopping)

    async def run(self) -> None:
        """Serve until the endpoint is closed; what is under way is finished before this returns."""
        async with asyncio.TaskGroup() as tasks:
            async for happening in self._endpoint.events():
                # Subscriptions match prefixes: our own answers' topics begin like this one.
                if isinstance(happening, Delivery) and happening.topic == topics.SUPERVISOR:
                    if isinstance(happening.event, events.StopRequest):
                        logger.info("stop requested by %s", happening.peer.name or happening.peer.host)
                        self._stop()
                    elif isinstance(happening.event, supervision.Hurry):
                        self._supervisor.hurry(happening.event.nodes)
                    elif (work := self._work_for(happening.event)) is not None:
                        await self._free.acquire()
                        tasks.create_task(self._carry_out(work))

    def _work_for(self, event: object) -> Coroutine[Any, Any, None] | None:
        match event:
            case events.CreateRequest():
                return self._create(event)
            case events.DestroyRequest():
                return self._destroy(event)
            case events.RestartRequest():
                return self._restart(event)
            case events.StatusRequest():
                return self._status(event)
            case supervision.DetailsRequest():
                return self._details(event)
            case supervision.FailRequest():
                return self._fail(event)
            case releases.SupervisorReleasesRequest():
                return self._releases(event)
        return None

    async def _carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            # One request must not take the tree down; whoever asked runs into its deadline.
            logger.exception("a request failed")
        finally:
            self._free.release()

    async def _create(self, request: events.CreateRequest) -> None:
        problem = await self._supervisor.create(request.node)
        answer = events.CreateResponse(reqid=request.reqid, result=problem)
        self._endpoint.publish(topics.supervisor_response("create", request.reqid), answer)

    async def _destroy(self, request: events.DestroyRequest) -> None:
        result = await self._succeeds(self._supervisor.destroy(request.node))
        answer = events.DestroyResponse(reqid=request.reqid, result=result)
        self._endpoint.publish(topics.supervisor_response("destroy", request.reqid), answer)

    async def _restart(self, request: events.RestartRequest) -> None:
        result = await self._succeeds(self._supervisor.restart(request.node))
        answer = events.RestartResponse(reqid=request.reqid, result=result)
        self._endpoint.publish(topics.supervisor_response("restart", request.reqid), answer)

    async def _status(self, request: events.StatusRequest) -> None:
        status: Status = self._supervisor.status(request.node)
        answer = events.StatusResponse(reqid=request.reqid, result=status)
        self._endpoint.publish(topics.supervisor_response("status", request.reqid), answer)

    async def _details(self, request: supervision.DetailsRequest) -> None:
        answer = supervision.DetailsResponse(request.reqid, self._supervisor.details(request.node))
        self._endpoint.publish(topics.supervisor_response("details", request.reqid), answer)

    async def _fail(self, request: supervision.FailRequest) -> None:
        number = SIGNALS.get(request.signal)
        result = number is not None and await self._supervisor.fail(request.node, request.pid, number)
        answer = supervision.FailResponse(request.reqid, result)
        self._endpoint.publish(topics.supervisor_response("fail", request.reqid), answer)

    async def _releases(self, request: releases.SupervisorReleasesRequest) -> None:
        answer = releases.SupervisorReleasesResponse(request.reqid, self._supervisor.releases())
        self._endpoint.publish(topics.supervisor_response("releases", request.reqid), answer)

    async def _succeeds(self, work: Coroutine[Any, Any, bool]) -> bool:
        try:
            return await work
        except StemError as error:
            logger.warning("request failed: %s", error, extra={"error": str(error)})
            return False

    def _started(self, node: str, pid: int) -> None:
        self._endpoint.publish(topics.NODE_STATUS, events.NodeStatus(node=node, pid=pid))

    def _stopping(self, news: NodeStopping) -> None:
        told = supervision.NodeStopping(news.node, news.pid, news.written, news.cpu, news.elapsed)
        self._endpoint.publish(topics.NODE_EXITS, told)

    def _ended(self, exit_: NodeExit) -> None:
        self._endpoint.publish(topics.NODE_EXITS, events.NotifyNodeExit(node=exit_.node, outputs=exit_.outputs))
        detail = supervision.NodeExitDetail(
            node=exit_.node,
            pid=exit_.pid,
            reason=str(exit_),
            code=exit_.code,
            signal=exit_.signal_name,
            core_dumped=exit_.core_dumped,
            out_of_memory=exit_.out_of_memory,
            requested=exit_.requested,
            revive_in=exit_.revive_in,
            failed=exit_.failed,
            uptime=exit_.uptime,
            restarts=exit_.restarts,
            crash_report=exit_.crash_report,
            attempt=exit_.attempt,
            window=exit_.window,
        )
        self._endpoint.publish(topics.NODE_EXITS, detail)
        if exit_.newly_failed:
            self._endpoint.publish(topics.NODE_EXITS, supervision.NodeFailed(exit_.node, f"{exit_.node} {exit_}"))
