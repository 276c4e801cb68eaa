"""The Supervisor by events: ``SupervisorControl`` (docs/protocol.md, section 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from zeekfleet.broker import topics
from zeekfleet.broker.events import releases, supervision
from zeekfleet.broker.events import supervisor as events
from zeekfleet.supervisor.failing import SIGNALS
from zeekfleet.supervisor.records import NodeExit, NodeStopping
from zeekfleet.supervisor.tree import Supervisor
from zeekfleet.transport.admission import MAX_REQUESTS, Admission
from zeekfleet.transport.bus import Bus, Delivery
from zeekfleet.transport.service import Context, Service, handler

logger = logging.getLogger(__name__)


class SupervisorControl:
    """Answers requests on ``zeek/supervisor``, and publishes starts and ends of nodes.

    Args:
        supervisor: the tree.
        bus: receives the requests; the caller opens its listener.
        stop: called at a ``stop_request``: stops the tree and ends this process.
    """

    def __init__(self, supervisor: Supervisor, bus: Bus, stop: Callable[[], None]) -> None:
        self._supervisor = supervisor
        self._bus = bus
        self._stop = stop
        bus.subscribe(topics.SUPERVISOR)
        supervisor.on_node_status(self._started)
        supervisor.on_node_exit(self._ended)
        supervisor.on_node_stopping(self._stopping)

    async def run(self) -> None:
        """Serve until the bus is closed, then finish the requests under way."""
        # Requests beyond this limit wait in the bus's inbox, which is bounded, too.
        room = Admission(MAX_REQUESTS, MAX_REQUESTS, "requests", waits=True)
        async with asyncio.TaskGroup() as tasks:
            service = Service(self._bus, topics.SUPERVISOR, "the supervisor", tasks, (self,), room)
            async for received in self._bus.events():
                if isinstance(received, Delivery):
                    await service.hear(received)

    @handler
    def stop(self, request: events.StopRequest, context: Context) -> None:
        """Stop the whole tree."""
        logger.info("stop requested by %s", context.peer)
        self._stop()

    @handler
    def hurry(self, request: supervision.Hurry, context: Context) -> None:
        """Let nodes that are being stopped take no longer than their grace."""
        self._supervisor.hurry(request.nodes)

    @handler
    async def create(self, request: events.CreateRequest, context: Context) -> events.CreateResponse:
        """Create a node."""
        return events.CreateResponse(request.reqid, await self._supervisor.create(request.node))

    @handler
    async def destroy(self, request: events.DestroyRequest, context: Context) -> events.DestroyResponse:
        """Stop nodes and forget them."""
        return events.DestroyResponse(request.reqid, await self._supervisor.destroy(request.node))

    @handler
    async def restart(self, request: events.RestartRequest, context: Context) -> events.RestartResponse:
        """Stop nodes and start them."""
        return events.RestartResponse(request.reqid, await self._supervisor.restart(request.node))

    @handler
    async def status(self, request: events.StatusRequest, context: Context) -> events.StatusResponse:
        """Tell the status of nodes."""
        return events.StatusResponse(request.reqid, self._supervisor.status(request.node))

    @handler
    async def details(self, request: supervision.DetailsRequest, context: Context) -> supervision.DetailsResponse:
        """Tell what is known of nodes in addition to the protocol's status."""
        return supervision.DetailsResponse(request.reqid, self._supervisor.details(request.node))

    @handler
    async def fail(self, request: supervision.FailRequest, context: Context) -> supervision.FailResponse:
        """End a node's process; its revival policy decides what comes next, as if it had ended by itself."""
        number = SIGNALS.get(request.signal)
        done = number is not None and await self._supervisor.fail(request.node, request.pid, number)
        return supervision.FailResponse(request.reqid, done)

    @handler
    async def releases(
        self, request: releases.SupervisorReleasesRequest, context: Context
    ) -> releases.SupervisorReleasesResponse:
        """Tell which zeekfleet supervisor and stem run."""
        return releases.SupervisorReleasesResponse(request.reqid, self._supervisor.releases())

    def _started(self, node: str, pid: int) -> None:
        self._bus.publish(topics.NODE_STATUS, events.NodeStatus(node=node, pid=pid))

    def _stopping(self, news: NodeStopping) -> None:
        told = supervision.NodeStopping(news.node, news.pid, news.written, news.cpu, news.elapsed)
        self._bus.publish(topics.NODE_EXITS, told)

    def _ended(self, exit_: NodeExit) -> None:
        self._bus.publish(topics.NODE_EXITS, events.NotifyNodeExit(node=exit_.node, outputs=exit_.outputs))
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
        self._bus.publish(topics.NODE_EXITS, detail)
        if exit_.newly_failed:
            self._bus.publish(topics.NODE_EXITS, supervision.NodeFailed(exit_.node, f"{exit_.node} {exit_}"))
