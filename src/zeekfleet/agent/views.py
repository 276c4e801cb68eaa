"""Views: the requests that tell what is on this instance and change nothing (docs/protocol.md, section 6).

What a dispatch does depends on its action, so one of these may be an order (see ``permission``).
"""

from __future__ import annotations

import msgspec

from zeekfleet.agent.control import SupervisorControl
from zeekfleet.agent.crash_history import CrashHistory
from zeekfleet.agent.dispatch import NodeDispatcher
from zeekfleet.agent.options import AgentOptions
from zeekfleet.agent.results import dispatch_results, node_statuses
from zeekfleet.agent.roster import Roster
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import details as details_api
from zeekfleet.broker.events import releases as releases_api
from zeekfleet.broker.generations import FIRST
from zeekfleet.errors import RequestFailedError, UnansweredError
from zeekfleet.model.enums import State
from zeekfleet.model.management import Result
from zeekfleet.release import part
from zeekfleet.transport.service import Context, handler


class Views:
    """Tells.

    Args:
        options: the agent's.
        control: the supervisor.
        roster: what is known of the nodes.
        dispatcher: asks nodes.
        crash_history: knows what happened to them.
    """

    def __init__(
        self,
        options: AgentOptions,
        control: SupervisorControl,
        roster: Roster,
        dispatcher: NodeDispatcher,
        crash_history: CrashHistory,
    ) -> None:
        self._options = options
        self._control = control
        self._roster = roster
        self._dispatcher = dispatcher
        self._crash_history = crash_history

    @handler
    async def get_nodes(self, request: api.GetNodesRequest, context: Context) -> api.GetNodesResponse:
        """The processes under this instance's supervisor."""
        if not await self._control.returns():
            raise RequestFailedError(request.reqid, self._control.away)
        try:
            processes = await self._control.status()
        except UnansweredError as error:
            raise RequestFailedError(request.reqid, self._control.reason(error)) from error
        port = None if self._options.dials_controller else self._options.port
        statuses = node_statuses(processes, self._roster, port, context.generation is FIRST)
        return api.GetNodesResponse(request.reqid, self._result(request.reqid, statuses))

    @handler
    async def dispatch(self, request: api.NodeDispatchRequest, context: Context) -> api.NodeDispatchResponse:
        """Have nodes run an action; one result a node."""
        asked = self._roster.overlap(request.nodes)
        running = {name for name in asked if self._roster[name].state is State.RUNNING}
        answers = await self._dispatcher.ask(request.action, running, self._options.request_timeout)
        results = dispatch_results(request.reqid, self._options.name, answers, asked - running)
        if not self._control.connected:
            # Nobody knows whether these nodes run, so do not say that they do not.
            results = [
                msgspec.structs.replace(result, error=self._control.away) if result.node in asked - running else result
                for result in results
            ]
        return api.NodeDispatchResponse(request.reqid, tuple(results))

    @handler
    async def status(
        self, request: details_api.AgentStatusRequest, context: Context
    ) -> details_api.AgentStatusResponse:
        """All that is known of this instance's nodes."""
        reports = await self._crash_history.reports()
        return details_api.AgentStatusResponse(request.reqid, self._result(request.reqid, reports))

    @handler
    async def diagnosis(
        self, request: details_api.AgentDiagnosisRequest, context: Context
    ) -> details_api.AgentDiagnosisResponse:
        """A node's last crash report."""
        found = await self._crash_history.diagnosis(request.node)
        result = Result(request.reqid, found is not None, self._options.name, data=found, node=request.node)
        return details_api.AgentDiagnosisResponse(request.reqid, result)

    @handler
    async def releases(
        self, request: releases_api.AgentReleasesRequest, context: Context
    ) -> releases_api.AgentReleasesResponse:
        """Which zeekfleet the agent, its supervisor and its stem run; the agent alone if the others do not tell."""
        try:
            others = await self._control.releases()
        except UnansweredError:
            others = ()
        return releases_api.AgentReleasesResponse(request.reqid, self._result(request.reqid, (part("agent"), *others)))

    def _result(self, reqid: str, data: object) -> Result:
        return Result(reqid, instance=self._options.name, data=data)
