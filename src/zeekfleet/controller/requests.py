"""Handles clients' requests, except those to stage and deploy, which ``deployment_requests`` handles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as agent_api
from zeekfleet.broker.events import checks as check_api
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import details as details_api
from zeekfleet.broker.events import dispatches as dispatch_api
from zeekfleet.broker.events import releases as releases_api
from zeekfleet.broker.events import stops as stops_api
from zeekfleet.broker.events.base import Request, Response
from zeekfleet.broker.generations import FIRST, SECOND, Generation
from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.controller.checking import Checking
from zeekfleet.controller.completion import Completion
from zeekfleet.controller.deployment_requests import longest_wait
from zeekfleet.controller.fanout import MakeRequest, ask, results_of
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.presence import Presence, status_request
from zeekfleet.controller.progress_timeouts import ProgressTimeouts
from zeekfleet.controller.staging import Stage
from zeekfleet.errors import RequestFailedError, ValueMismatchError
from zeekfleet.model.dispatches import SET_OPTION, WHOLE_CLUSTER
from zeekfleet.model.management import TIMED_OUT, Configuration, NodeStatus, Result
from zeekfleet.model.supervision import Diagnosis
from zeekfleet.planning.deadlines import CEILING, controller_stop_deadline
from zeekfleet.release import part
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.service import Context, handler

PATIENCE = 1.0
"""Seconds to wait for an agent that did not answer the last request."""


class ClientRequests:
    """Answers clients, from what the controller knows or by asking agents.

    Args:
        bus: the controller's bus.
        instances: knows which agents can be asked.
        stage: stores configurations.
        completion: fills in missing addresses and ports of a configuration that is to be checked.
        checking: asks agents to check configurations.
        timeouts: renewed when an instance makes progress.
        presence: knows about instances that cannot be asked.
        request_timeout: the base of the deadlines, in seconds.
    """

    def __init__(
        self,
        bus: Bus,
        instances: Instances,
        stage: Stage,
        *,
        completion: Completion,
        checking: Checking,
        timeouts: ProgressTimeouts,
        presence: Presence,
        request_timeout: float,
    ) -> None:
        self._bus = bus
        self._instances = instances
        self._stage = stage
        self._completion = completion
        self._checking = checking
        self._timeouts = timeouts
        self._presence = presence
        self._timeout = request_timeout

    # --- answered from what the controller knows

    @handler
    def get_instances(self, request: api.GetInstancesRequest, context: Context) -> api.GetInstancesResponse:
        """The connected instances; for the first generation, the configured ones."""
        instances = {name: known.instance for name, known in self._instances.known.items()}
        if context.generation is FIRST:
            instances = self._instances.configured
        data = tuple(instances[name] for name in sorted(instances))
        return api.GetInstancesResponse(request.reqid, Result(request.reqid, data=data))

    @handler
    async def get_configuration(
        self, request: api.GetConfigurationRequest, context: Context
    ) -> api.GetConfigurationResponse:
        """The deployed configuration, or the staged one."""
        state = ConfigState.DEPLOYED if request.deployed else ConfigState.STAGED
        configuration = await self._stage.get(state)
        if configuration is None:
            raise RequestFailedError(request.reqid, f"no {state.value.lower()} configuration available")
        return api.GetConfigurationResponse(request.reqid, Result(request.reqid, data=configuration))

    @handler
    async def test_timeout(self, request: api.TestTimeoutRequest, context: Context) -> api.TestTimeoutResponse | None:
        """Time out as if an agent had not answered.

        Returns:
            None if the request has no state: by the protocol, such a request is not answered.
        """
        if not request.with_state:
            return None
        await asyncio.sleep(self._timeout)
        raise RequestFailedError(request.reqid, TIMED_OUT)

    # --- answered by asking agents

    @handler
    async def get_nodes(self, request: api.GetNodesRequest, context: Context) -> api.GetNodesResponse:
        """One result for each known instance; for the first generation, for each configured instance."""
        names = set(self._instances.known)
        if context.generation is FIRST:
            names &= self._instances.configured.keys()
        if not names:
            raise RequestFailedError(request.reqid, "no instances connected")
        spoken = {name: self._instances.known[name].generation for name in names}
        results = await self._look(request.reqid, names, lambda fresh, _: agent_api.GetNodesRequest(fresh))
        return api.GetNodesResponse(
            request.reqid,
            tuple(_with_statuses_read(result, spoken.get(result.instance or "", SECOND)) for result in results),
        )

    @handler
    async def get_id_value(self, request: api.GetIdValueRequest, context: Context) -> api.GetIdValueResponse:
        """One result for each node, with the value as JSON text."""
        results = await self._dispatch(request.reqid, ("get_id_value", request.id), request.nodes)
        return api.GetIdValueResponse(request.reqid, tuple(results))

    @handler
    async def dispatch(
        self, request: dispatch_api.ControllerDispatchRequest, context: Context
    ) -> dispatch_api.ControllerDispatchResponse:
        """One result for each node: the outcome of the action."""
        results = await self._dispatch(request.reqid, request.action, request.nodes)
        return dispatch_api.ControllerDispatchResponse(request.reqid, tuple(results))

    @handler
    async def restart(self, request: api.RestartRequest, context: Context) -> api.RestartResponse:
        """One result for each node. Results that are unknown when the client must be answered are time-outs."""
        reqid, nodes = request.reqid, request.nodes
        if not self._instances.known:
            raise RequestFailedError(reqid, "no instances connected")
        configuration = await self._stage.get(ConfigState.DEPLOYED)
        if configuration is None:
            raise RequestFailedError(reqid, "no active cluster deployment")

        def ask_for(fresh: str, generation: Generation, wanted: frozenset[str]) -> agent_api.RestartRequest | None:
            return None if generation is FIRST else agent_api.RestartRequest(fresh, wanted)

        timeout = controller_stop_deadline(len(nodes or configuration.nodes), base=self._timeout)
        limit = longest_wait(context.peer)
        results = await self._ask_nodes(reqid, configuration, nodes, ask_for, timeout, limit)
        return api.RestartResponse(reqid, tuple(results))

    @handler
    def hurry(self, order: stops_api.ControllerHurry, context: Context) -> None:
        """Pass on the order to kill nodes that are being stopped when their grace is over."""
        for name, known in self._instances.known.items():
            if known.generation is SECOND:
                self._bus.publish(topics.agent(name), stops_api.AgentHurry(order.nodes), to=known.peer)

    @handler
    async def status(
        self, request: details_api.ControllerStatusRequest, context: Context
    ) -> details_api.ControllerStatusResponse:
        """One result for each instance, with its nodes' reports."""
        if not self._instances.known:
            raise RequestFailedError(request.reqid, "no instances connected")
        results = await self._look(request.reqid, set(self._instances.known), status_request)
        self._presence.answered(results)
        return details_api.ControllerStatusResponse(request.reqid, tuple(results))

    @handler
    async def diagnosis(
        self, request: details_api.ControllerDiagnosisRequest, context: Context
    ) -> details_api.ControllerDiagnosisResponse:
        """A node's last crash report: from the node's instance, else the latest one from any other instance.

        So a report is found even if the node has left, or has moved to another instance.
        """
        return details_api.ControllerDiagnosisResponse(
            request.reqid, await self._diagnosis(request.reqid, request.node)
        )

    @handler
    async def releases(
        self, request: releases_api.ControllerReleasesRequest, context: Context
    ) -> releases_api.ControllerReleasesResponse:
        """Which releases run: the controller's own result, then one for each known or configured instance."""
        reqid = request.reqid
        able = {
            name for name, link in self._instances.known.items() if self._instances.can(link, releases_api.RELEASES)
        }
        results = [
            Result(reqid, False, name, error="its agent is of a release that does not tell")
            for name in self._instances.known.keys() - able
        ]
        results += [
            Result(reqid, False, name, error=f"instance '{name}' is missing: {self._instances.presence(name)}")
            for name in self._instances.configured.keys() - self._instances.known.keys()
        ]

        def ask_for(fresh: str, _: Generation) -> releases_api.AgentReleasesRequest:
            return releases_api.AgentReleasesRequest(fresh)

        results += await self._ask(reqid, able, ask_for, self._timeout)
        own = Result(reqid, data=(part("controller"),))
        by_name = sorted(results, key=lambda result: result.instance or "")
        return releases_api.ControllerReleasesResponse(reqid, (own, *by_name))

    @handler
    async def check(
        self, request: check_api.ControllerCheckRequest, context: Context
    ) -> check_api.ControllerCheckResponse:
        """Validate a configuration and have agents check it; nothing is staged."""
        deployed = await self._stage.get(ConfigState.DEPLOYED)
        completed = await self._completion.complete_with_agents(request.config, deployed)
        results = await self._checking.check(request.reqid, completed, deployed)
        return check_api.ControllerCheckResponse(request.reqid, tuple(results))

    async def _dispatch(self, reqid: str, action: tuple[str, ...], nodes: frozenset[str]) -> list[Result]:
        configuration = await self._stage.get(ConfigState.DEPLOYED)
        if not self._instances.configured or configuration is None:
            raise RequestFailedError(reqid, "no cluster deployed")
        if action[:1] == (SET_OPTION,) and len(action) == 3 and not nodes:
            action = (*action, WHOLE_CLUSTER)

        def ask_for(fresh: str, generation: Generation, wanted: frozenset[str]) -> agent_api.NodeDispatchRequest | None:
            return None if generation is FIRST else agent_api.NodeDispatchRequest(fresh, action, wanted)

        return await self._ask_nodes(reqid, configuration, nodes, ask_for, self._timeout)

    async def _diagnosis(self, reqid: str, node: str) -> Result:
        configuration = await self._stage.get(ConfigState.DEPLOYED) or Configuration()
        place = next((known.instance for known in configuration.nodes if known.name == node), None)

        def ask_for(fresh: str, generation: Generation) -> details_api.AgentDiagnosisRequest | None:
            return None if generation is FIRST else details_api.AgentDiagnosisRequest(fresh, node)

        known = self._instances.known.keys()
        own = await self._ask(reqid, [place] if place in known else [], ask_for, self._timeout)
        if own and (_report_of(own[0]) or not own[0].success):
            return own[0]
        others = await self._ask(reqid, [name for name in known if name != place], ask_for, self._timeout)
        reports = [(report, result) for result in others if (report := _report_of(result))]
        if reports:
            return max(reports, key=lambda one: one[0])[1]
        if own:
            return own[0]
        if place is None:
            return Result(reqid, False, error="unknown cluster node", node=node)
        return Result(reqid, False, error=f"instance '{place}' is not connected", node=node)

    async def _ask_nodes(
        self,
        reqid: str,
        configuration: Configuration,
        nodes: frozenset[str],
        make_request: Callable[[str, Generation, frozenset[str]], Request[Response] | None],
        timeout: float,
        limit: float | None = None,
    ) -> list[Result]:
        """Ask the ready agents about nodes. Unknown nodes and nodes out of reach get results with errors."""
        places = {node.name: node.instance for node in configuration.nodes}
        known = nodes & places.keys()
        results = [Result(reqid, False, error="unknown cluster node", node=name) for name in sorted(nodes - known)]
        if nodes and not known:
            return results
        ready = self._instances.ready & self._instances.known.keys()
        results += [
            Result(reqid, False, error=f"instance '{places[name]}' is not ready", node=name)
            for name in sorted(known or places)
            if places[name] not in ready
        ]
        return results + await self._ask(
            reqid, ready, lambda fresh, generation: make_request(fresh, generation, known), timeout, limit
        )

    async def _look(self, reqid: str, names: Collection[str], make_request: MakeRequest) -> list[Result]:
        """Ask agents for information. One that did not answer last time and has sent nothing since gets less time."""

        async def one(name: str) -> list[Result]:
            patience = min(self._timeout, PATIENCE) if self._presence.is_silent(name) else self._timeout
            results = await self._ask(reqid, (name,), make_request, patience)
            if any(not result.success and result.error == TIMED_OUT for result in results):
                self._presence.silent(name)
            else:
                self._presence.heard(name)
            return results

        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(one(name)) for name in sorted(names)]
        return [result for task in asked for result in task.result()]

    async def _ask(
        self,
        reqid: str,
        names: Collection[str],
        make_request: MakeRequest,
        timeout: float,
        limit: float | None = None,
    ) -> list[Result]:
        """Ask agents; with a ``limit``, each agent's time-out begins anew with its progress."""
        agents: list[tuple[str, AgentLink]] = [(name, self._instances.known[name]) for name in sorted(names)]
        return results_of(
            reqid,
            await ask(
                self._bus,
                agents,
                make_request,
                timeout,
                timeouts=self._timeouts if limit else None,
                limit=limit or CEILING,
            ),
        )


def _with_statuses_read(result: Result, generation: Generation) -> Result:
    """The result with its data decoded into records, so that it can be encoded for a client of either generation."""
    if not result.success or result.data is None:
        return result
    try:
        statuses = generation.codec.sequence_from_value(result.data, NodeStatus)
    except ValueMismatchError as error:
        return msgspec.structs.replace(result, success=False, data=None, error=f"no node statuses: {error}")
    return msgspec.structs.replace(result, data=statuses)


def _report_of(result: Result) -> str:
    """The name of the crash report in a result, which begins with its time; empty if there is none."""
    if not result.success or result.data is None:
        return ""
    try:
        return Path(SECOND.codec.from_value(result.data, Diagnosis).path).name
    except ValueMismatchError:
        return ""
