"""The clients' requests that concern what is deployed: get_nodes, get_id_value, restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import details as details_api
from zeekfleet.broker.events import releases as releases_api
from zeekfleet.broker.events.base import Request, Response
from zeekfleet.broker.generations import FIRST, SECOND, Generation
from zeekfleet.controller.fanout import TIMED_OUT, MakeRequest, ask, results_of
from zeekfleet.controller.instances import Instances, Known
from zeekfleet.controller.presence import Presence, status_request
from zeekfleet.controller.staging import Stage
from zeekfleet.controller.waits import Waits
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.dispatches import SET_OPTION, WHOLE_CLUSTER
from zeekfleet.model.management import Configuration, NodeStatus, Result
from zeekfleet.model.supervision import Diagnosis
from zeekfleet.planning.deadlines import CEILING, controller_stop_deadline
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.endpoint import Endpoint

PATIENCE = 1.0
"""Seconds to wait for an agent that has been silent before."""


class NodeRequests:
    """Asks agents on behalf of clients.

    Args:
        endpoint: the controller's.
        instances: who can be asked.
        stage: where the deployed configuration is.
        waits: told of what instances do.
        request_timeout: base of the deadlines, in seconds.
        presence: what is known of those that cannot be asked.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        instances: Instances,
        stage: Stage,
        waits: Waits,
        request_timeout: float,
        presence: Presence,
    ) -> None:
        self._endpoint = endpoint
        self._instances = instances
        self._stage = stage
        self._waits = waits
        self._timeout = request_timeout
        self._presence = presence

    async def get_nodes(self, reqid: str, generation: Generation) -> list[Result]:
        """One result an instance: every known one, or the configured ones for the first generation."""
        names = set(self._instances.known)
        if generation is FIRST:
            names &= self._instances.configured.keys()
        if not names:
            return [Result(reqid, False, error="no instances connected")]
        spoken = {name: self._instances.known[name].generation for name in names}
        results = await self._look(reqid, names, lambda fresh, _: api.GetNodesRequest(fresh))
        return [_with_statuses_read(result, spoken.get(result.instance or "", SECOND)) for result in results]

    async def get_id_value(self, reqid: str, identifier: str, nodes: frozenset[str]) -> list[Result]:
        """One result a node: the value as JSON text."""
        return await self.dispatch(reqid, ("get_id_value", identifier), nodes)

    async def dispatch(self, reqid: str, action: tuple[str, ...], nodes: frozenset[str]) -> list[Result]:
        """One result a node: what came of the action."""
        configuration = await self._stage.get(ConfigState.DEPLOYED)
        if not self._instances.configured or configuration is None:
            return [Result(reqid, False, error="no cluster deployed")]

        def request(fresh: str, generation: Generation, wanted: frozenset[str]) -> api.NodeDispatchRequest | None:
            return None if generation is FIRST else api.NodeDispatchRequest(fresh, action, wanted)

        if action[:1] == (SET_OPTION,) and len(action) == 3 and not nodes:
            action = (*action, WHOLE_CLUSTER)

        return await self._ask_nodes(reqid, configuration, nodes, request, self._timeout)

    async def restart(self, reqid: str, nodes: frozenset[str], limit: float) -> list[Result]:
        """One result a node; what is not known within ``limit`` seconds has timed out."""
        if not self._instances.known:
            return [Result(reqid, False, error="no instances connected")]
        configuration = await self._stage.get(ConfigState.DEPLOYED)
        if configuration is None:
            return [Result(reqid, False, error="no active cluster deployment")]

        def request(fresh: str, generation: Generation, wanted: frozenset[str]) -> api.RestartRequest | None:
            return None if generation is FIRST else api.RestartRequest(fresh, wanted)

        timeout = controller_stop_deadline(len(nodes or configuration.nodes), base=self._timeout)
        return await self._ask_nodes(reqid, configuration, nodes, request, timeout, limit)

    async def status(self, reqid: str) -> list[Result]:
        """One result an instance, each with its nodes' histories."""
        if not self._instances.known:
            return [Result(reqid, False, error="no instances connected")]
        results = await self._look(reqid, set(self._instances.known), status_request)
        self._presence.answered(results)
        return results

    async def releases(self, reqid: str) -> list[Result]:
        """One result an instance, known or configured: which zeekfleet its parts run."""
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

        def request(fresh: str, _: Generation) -> releases_api.AgentReleasesRequest:
            return releases_api.AgentReleasesRequest(fresh)

        results += await self._ask(reqid, able, request, self._timeout)
        return sorted(results, key=lambda result: result.instance or "")

    async def diagnosis(self, reqid: str, node: str) -> Result:
        """A node's last crash report: its instance's, else the latest that any other instance has.

        So a report is found of a node that has left, or has moved to another instance.
        """
        configuration = await self._stage.get(ConfigState.DEPLOYED) or Configuration()
        place = next((known.instance for known in configuration.nodes if known.name == node), None)

        def request(fresh: str, generation: Generation) -> details_api.AgentDiagnosisRequest | None:
            return None if generation is FIRST else details_api.AgentDiagnosisRequest(fresh, node)

        known = self._instances.known.keys()
        own = await self._ask(reqid, [place] if place in known else [], request, self._timeout)
        if own and (_report_of(own[0]) or not own[0].success):
            return own[0]
        others = await self._ask(reqid, [name for name in known if name != place], request, self._timeout)
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
        """Ask the ready agents about nodes; unknown nodes, and those out of reach, are errors beside the others."""
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
        """Ask agents for a view; one that has not answered before, nor told anything since, is not waited for long."""

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
        """Ask agents; with a ``limit`` the time-out counts from the last progress of each."""
        agents: list[tuple[str, Known]] = [(name, self._instances.known[name]) for name in sorted(names)]
        return results_of(
            reqid,
            await ask(
                self._endpoint,
                agents,
                make_request,
                timeout,
                waits=self._waits if limit else None,
                limit=limit or CEILING,
            ),
        )


def _with_statuses_read(result: Result, generation: Generation) -> Result:
    """The result with its data as records, which can be written for a client of either generation."""
    if not result.success or result.data is None:
        return result
    try:
        statuses = generation.codec.sequence_from_value(result.data, NodeStatus)
    except ValueMismatchError as error:
        return msgspec.structs.replace(result, success=False, data=None, error=f"no node statuses: {error}")
    return msgspec.structs.replace(result, data=statuses)


def _report_of(result: Result) -> str:
    """The name of the crash report that a result hands out, which begins with its time; empty if it has none."""
    if not result.success or result.data is None:
        return ""
    try:
        return Path(SECOND.codec.from_value(result.data, Diagnosis).path).name
    except ValueMismatchError:
        return ""
