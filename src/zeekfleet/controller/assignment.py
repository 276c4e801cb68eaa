"""Completing a configuration once its instances are known: their addresses, and ports that are free where they are."""

from __future__ import annotations

import logging

from zeekfleet.broker.events import checks as api
from zeekfleet.broker.generations import Generation
from zeekfleet.controller.fanout import ask
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.staging import Stage
from zeekfleet.model.management import Configuration
from zeekfleet.planning.ports import lacking_ports
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.endpoint import Endpoint

logger = logging.getLogger(__name__)


class Assignment:
    """Completes configurations.

    Args:
        endpoint: the controller's.
        instances: whose agents know which ports of their hosts are taken.
        stage: validates, and knows what is deployed: its nodes keep their ports.
        request_timeout: seconds that agents have to tell.
    """

    def __init__(self, endpoint: Endpoint, instances: Instances, stage: Stage, request_timeout: float) -> None:
        self._endpoint = endpoint
        self._instances = instances
        self._stage = stage
        self._timeout = request_timeout

    async def complete(self, configuration: Configuration) -> Configuration:
        """A copy with addresses and ports filled in.

        A port that somebody else has on an instance's host is not assigned there. An agent that cannot tell,
        or does not in time, is taken to have none.

        Raises:
            ConfigurationError: the configuration is not sound, or ports do not suffice; every problem is told.
        """
        deployed = await self._stage.get(ConfigState.DEPLOYED)
        taken = await self._taken(configuration, deployed)
        return self._stage.complete(configuration, taken, deployed)

    async def _taken(self, configuration: Configuration, deployed: Configuration | None) -> dict[str, frozenset[int]]:
        lacking = lacking_ports(configuration)
        wanted = [instance for instance in configuration.instances if instance.name in lacking]
        links = {instance.name: self._instances.reached(instance) for instance in wanted}
        able = [(name, link) for name, link in sorted(links.items()) if link and self._instances.can(link, api.PORTS)]

        def request(fresh: str, _: Generation) -> api.AgentPortsRequest:
            return api.AgentPortsRequest(fresh, deployed)

        found: dict[str, frozenset[int]] = {}
        for answer in await ask(self._endpoint, able, request, self._timeout):
            if isinstance(answer.response, api.AgentPortsResponse):
                found[answer.instance] = frozenset(answer.response.ports)
            else:
                logger.warning(
                    "instance %s does not tell which ports are taken",
                    answer.instance,
                    extra={"instance": answer.instance},
                )
        return found
