"""Asks agents to check whether a configuration's nodes would come up; nothing is changed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

import msgspec

from zeekfleet.broker.events import checks as api
from zeekfleet.broker.generations import Generation
from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.controller.fanout import ask, results_of
from zeekfleet.controller.instances import Instances
from zeekfleet.model.management import Configuration, Result
from zeekfleet.planning.deadlines import controller_deadline
from zeekfleet.transport.bus import Bus

logger = logging.getLogger(__name__)

NOT_ABLE = "not checked: its agent does not know how to"


class Checking:
    """Asks agents to check configurations.

    Args:
        bus: the controller's bus.
        instances: knows which agents can be asked.
        request_timeout: the base of the deadline, in seconds.
    """

    def __init__(self, bus: Bus, instances: Instances, request_timeout: float) -> None:
        self._bus = bus
        self._instances = instances
        self._timeout = request_timeout

    async def check(self, reqid: str, configuration: Configuration, deployed: Configuration | None) -> list[Result]:
        """The results for every instance: its problems, a success, or why it could not be checked.

        Args:
            reqid: the id of the client's request.
            configuration: with addresses and ports filled in.
            deployed: the configuration that is deployed now.
        """
        names = sorted(instance.name for instance in configuration.instances)
        results: list[Result] = []
        for name in names:
            if name not in self._instances.known:
                error = f"instance '{name}' is not connected, its nodes cannot be checked"
                results.append(Result(reqid, False, name, error=error))
            elif not self._instances.can(self._instances.known[name], api.CHECK):
                results.append(Result(reqid, instance=name, data=NOT_ABLE))
        links = {name: link for name in names if (link := self._instances.known.get(name)) is not None}
        results += await self._ask(reqid, configuration, deployed, links)
        return results or [Result(reqid)]

    async def problems(self, reqid: str, configuration: Configuration, deployed: Configuration | None) -> list[Result]:
        """The problems with a configuration that is about to be deployed, as failed results; empty if there are none.

        The results name no node, because zeek-client shows the error only of results without one.

        Args:
            reqid: the id of the client's request.
            configuration: with addresses and ports filled in.
            deployed: the configuration that is deployed now.
        """
        reached = {instance.name: self._instances.reached(instance) for instance in configuration.instances}
        links = {name: link for name, link in reached.items() if link is not None}
        results = await self._ask(reqid, configuration, deployed, links)
        failed = [msgspec.structs.replace(result, node=None) for result in results if not result.success]
        if failed:
            logger.warning(
                "configuration %s is not deployed: %s",
                configuration.id,
                failed[0].error,
                extra={"config": configuration.id},
            )
        return failed

    async def _ask(
        self, reqid: str, configuration: Configuration, deployed: Configuration | None, links: Mapping[str, AgentLink]
    ) -> list[Result]:
        able = [(name, link) for name, link in sorted(links.items()) if self._instances.can(link, api.CHECK)]
        if not able:
            return []
        per_instance = Counter(node.instance for node in configuration.nodes)
        timeout = controller_deadline(max(per_instance.values(), default=0), base=self._timeout)

        def request(fresh: str, _: Generation) -> api.AgentCheckRequest:
            return api.AgentCheckRequest(fresh, configuration, deployed)

        return results_of(reqid, await ask(self._bus, able, request, timeout))
