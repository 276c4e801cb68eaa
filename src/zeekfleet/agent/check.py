"""Checks whether a configuration's nodes would come up on this host, without touching anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from zeekfleet.agent.control import SupervisorControl, cluster_nodes, unanswered
from zeekfleet.agent.plan import node_configs, nodes_of
from zeekfleet.broker.events import checks as api
from zeekfleet.errors import UnansweredError
from zeekfleet.model.management import Configuration, Result
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.types import UNSPECIFIED, Address
from zeekfleet.node.engine import NodeLinks
from zeekfleet.planning.checks import Problem
from zeekfleet.planning.deadlines import AGENT_BASE, agent_deadline
from zeekfleet.transport.service import Context, handler

logger = logging.getLogger(__name__)


class NodeChecker(Protocol):
    """Checks nodes on this host; ``node.checks.NodeChecker`` is the implementation."""

    async def check(
        self, configs: Sequence[NodeConfig], present: Sequence[NodeConfig], pids: frozenset[int]
    ) -> list[Problem]:
        """The problems that are found, sorted.

        Args:
            configs: the nodes' launch configurations.
            present: the nodes that the cluster has on this host now, also those of other instances.
            pids: the processes of this instance's nodes.
        """
        ...

    async def taken_ports(self, present: Sequence[NodeConfig], pids: frozenset[int]) -> list[int]:
        """The TCP ports on which other programs than the cluster's nodes listen, sorted.

        Args:
            present: the nodes that the cluster has on this host now, also those of other instances.
            pids: the processes of this instance's nodes.
        """
        ...


class ConfigurationCheck:
    """Checks configurations, one at a time.

    Args:
        instance: the agent's name.
        state_directory: the state directory; a node's directory is ``nodes/<name>`` below it.
        control: requests to the supervisor.
        links: gives the variables by which nodes and agent would find each other.
        checker: checks the nodes.
        request_timeout: the base of the deadline, in seconds.
    """

    def __init__(
        self,
        instance: str,
        state_directory: Path,
        control: SupervisorControl,
        links: NodeLinks,
        checker: NodeChecker,
        request_timeout: float,
    ) -> None:
        self._instance = instance
        self._state_directory = state_directory
        self._control = control
        self._links = links
        self._checker = checker
        self._base = max(request_timeout, AGENT_BASE)
        self._one_at_a_time = asyncio.Lock()

    @handler
    async def check(self, request: api.AgentCheckRequest, context: Context) -> api.AgentCheckResponse:
        """Check a configuration. One failed result for each problem, with its nodes' names as data; or one success."""
        results = await self._results(request.reqid, request.config, request.deployed)
        return api.AgentCheckResponse(request.reqid, tuple(results))

    @handler
    async def taken_ports(self, request: api.AgentPortsRequest, context: Context) -> api.AgentPortsResponse:
        """The TCP ports on which other programs listen, sorted; none if the supervisor does not answer."""
        try:
            actual, pids = await self._running()
        except UnansweredError as error:
            logger.warning("cannot tell which ports are in use: %s", error, extra={"error": str(error)})
            return api.AgentPortsResponse(request.reqid, ())
        known = request.deployed or Configuration()
        here = {instance.host for instance in known.instances if instance.name == self._instance} or {UNSPECIFIED}
        ports = await self._checker.taken_ports([*actual.values(), *self._deployed_on(here, known)], pids)
        return api.AgentPortsResponse(request.reqid, tuple(ports))

    async def _results(self, reqid: str, configuration: Configuration, deployed: Configuration | None) -> list[Result]:
        nodes = nodes_of(configuration, self._instance)
        limit = agent_deadline(len(nodes), base=self._base)
        try:
            async with asyncio.timeout(limit), self._one_at_a_time:
                problems = await self._problems(configuration, deployed)
        except UnansweredError as error:
            return [Result(reqid, False, self._instance, error=unanswered(error))]
        except TimeoutError:
            late = f"instance '{self._instance}': the check did not end within {limit:g} s"
            return [Result(reqid, False, self._instance, error=late)]
        logger.info(
            "configuration %s checked: %d problems", configuration.id, len(problems), extra={"config": configuration.id}
        )
        return [self._failure(reqid, problem) for problem in problems] or [Result(reqid, instance=self._instance)]

    async def _running(self) -> tuple[dict[str, NodeConfig], frozenset[int]]:
        status = await self._control.status()
        actual = cluster_nodes(status)
        return actual, frozenset(pid for name in actual if (pid := status[name].pid) is not None)

    async def _problems(self, configuration: Configuration, deployed: Configuration | None) -> list[Problem]:
        actual, pids = await self._running()
        variables = self._links.variables(nodes_of(configuration, self._instance), actual, configuration)
        desired = node_configs(configuration, self._instance, self._state_directory, variables)
        present = [*actual.values(), *self._deployed_here(configuration, deployed or Configuration())]
        return await self._checker.check(tuple(desired.values()), present, pids)

    def _deployed_here(self, configuration: Configuration, deployed: Configuration) -> Iterator[NodeConfig]:
        """The deployed nodes of all instances that may be on this host; they use ports of the cluster."""
        own = {instance.host for instance in configuration.instances if instance.name == self._instance}
        yield from self._deployed_on(own, deployed)

    def _deployed_on(self, own: set[Address], deployed: Configuration) -> Iterator[NodeConfig]:
        for instance in deployed.instances:
            if instance.name == self._instance or _may_be_one(instance.host, own):
                yield from node_configs(deployed, instance.name, self._state_directory, {}).values()

    def _failure(self, reqid: str, problem: Problem) -> Result:
        node = problem.nodes[0] if len(problem.nodes) == 1 else None
        error = str(problem) if problem.nodes else f"instance '{self._instance}': {problem}"
        return Result(reqid, False, self._instance, data=problem.nodes, error=error, node=node)


def _may_be_one(host: Address, own: set[Address]) -> bool:
    return host in own or host == UNSPECIFIED or UNSPECIFIED in own
