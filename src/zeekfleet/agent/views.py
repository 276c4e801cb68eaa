"""Handles the requests that only read what is on this instance (docs/protocol.md, section 6).

A dispatch is here, too, although some of its actions change something; ``permission`` treats those as orders.
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
    """Handles requests that read.

    Args:
        options: the agent's options.
        control: requests to the supervisor.
        roster: the state of the nodes.
        dispatcher: sends dispatches to nodes.
        crash_history: the history of the nodes.
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
        """List the processes of this instance's supervisor."""
        if not await self._control.wait_until_back():
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
        """Have nodes run an action; one result for each node."""
        asked = self._roster.overlap(request.nodes)
        running = {name for name in asked if self._roster[name].state is State.RUNNING}
        answers = await self._dispatcher.ask(request.action, running, self._options.request_timeout)
        results = dispatch_results(request.reqid, self._options.name, answers, asked - running)
        if not self._control.connected:
            # It is unknown whether these nodes run, so do not report that they are not in running state.
            results = [
                msgspec.structs.replace(result, error=self._control.away) if result.node in asked - running else result
                for result in results
            ]
        return api.NodeDispatchResponse(request.reqid, tuple(results))

    @handler
    async def status(
        self, request: details_api.AgentStatusRequest, context: Context
    ) -> details_api.AgentStatusResponse:
        """Report everything that is known about this instance's nodes."""
        reports = await self._crash_history.reports()
        return details_api.AgentStatusResponse(request.reqid, self._result(request.reqid, reports))

    @handler
    async def diagnosis(
        self, request: details_api.AgentDiagnosisRequest, context: Context
    ) -> details_api.AgentDiagnosisResponse:
        """Return a node's last crash report."""
        found = await self._crash_history.diagnosis(request.node)
        result = Result(request.reqid, found is not None, self._options.name, data=found, node=request.node)
        return details_api.AgentDiagnosisResponse(request.reqid, result)

    @handler
    async def releases(
        self, request: releases_api.AgentReleasesRequest, context: Context
    ) -> releases_api.AgentReleasesResponse:
        """Report the releases of the agent, its supervisor and its stem; only the agent's without a supervisor."""
        try:
            others = await self._control.releases()
        except UnansweredError:
            others = ()
        return releases_api.AgentReleasesResponse(request.reqid, self._result(request.reqid, (part("agent"), *others)))

    def _result(self, reqid: str, data: object) -> Result:
        return Result(reqid, instance=self._options.name, data=data)
