"""Completes configurations: fills in instances' addresses, and ports that are free on their hosts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping

import msgspec

from zeekfleet.broker.events import checks as api
from zeekfleet.broker.generations import Generation
from zeekfleet.controller.fanout import ask
from zeekfleet.controller.instances import Instances
from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration
from zeekfleet.planning.ports import assign_metrics_ports, assign_ports, lacking_ports
from zeekfleet.planning.validate import DEFAULT_SIZES, Sizes, validate
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.encryption import Encryption, PlainText

logger = logging.getLogger(__name__)


class PortAssignment(msgspec.Struct, frozen=True):
    """Whether missing ports are assigned, and from which number on. ``reserved`` ports are never assigned."""

    listening: bool = True
    listening_start: int = 2200
    metrics: bool = True
    metrics_start: int = 9000
    reserved: tuple[int, ...] = ()


class Completion:
    """Validates configurations, and fills in missing addresses and ports.

    Args:
        bus: the controller's bus.
        instances: has the addresses to fill in, and the agents, which know the ports that are taken on their hosts.
        assignment: which ports are filled in.
        controller_port: the controller's port for agents; None if it has none.
        controller_name: the controller's name, which nothing in a configuration may have.
        request_timeout: how many seconds agents have to report taken ports.
        sizes: how large a configuration may be.
        encryption: decides which instances may be connected to.
    """

    def __init__(
        self,
        bus: Bus,
        instances: Instances,
        assignment: PortAssignment,
        *,
        controller_port: int | None,
        controller_name: str,
        request_timeout: float,
        sizes: Sizes = DEFAULT_SIZES,
        encryption: Encryption | None = None,
    ) -> None:
        self._bus = bus
        self._instances = instances
        self._assignment = assignment
        self._controller_port = controller_port
        self._controller_name = controller_name
        self._timeout = request_timeout
        self._sizes = sizes
        self._encryption = encryption or PlainText()

    def complete(
        self,
        configuration: Configuration,
        taken: Mapping[str, Collection[int]] = {},
        former: Configuration | None = None,
    ) -> Configuration:
        """A copy with addresses and ports filled in, as far as that is possible without asking agents.

        Args:
            configuration: as a client sent it.
            taken: by instance, the ports that other programs use on its host.
            former: the deployed configuration; nodes that stay keep their ports.

        Raises:
            ConfigurationError: it is not valid, or there are not enough ports; has every problem.
        """
        errors = validate(
            configuration,
            controller_port=self._controller_port,
            auto_assign_ports=self._assignment.listening,
            controller_name=self._controller_name,
            sizes=self._sizes,
        )
        errors += tuple(self._unreachable(configuration))
        if errors:
            raise ConfigurationError(errors)
        ready = self._instances.with_addresses(configuration)
        how = self._assignment
        if how.listening:
            ready = assign_ports(ready, start=how.listening_start, reserved=how.reserved, taken=taken, former=former)
        if how.metrics:
            ready = assign_metrics_ports(
                ready, start=how.metrics_start, reserved=how.reserved, taken=taken, former=former
            )
        return ready

    def _unreachable(self, configuration: Configuration) -> Iterator[str]:
        """Why the controller must not connect to instances, one text each."""
        for instance in configuration.instances:
            if instance.listen_port is not None and (problem := self._encryption.problem(str(instance.host))):
                yield f"instance '{instance.name}': {problem}"

    async def complete_with_agents(self, configuration: Configuration, former: Configuration | None) -> Configuration:
        """Like :meth:`complete`, but first ask agents which ports other programs use on their hosts.

        If an agent cannot answer, or does not answer in time, all ports of its host count as free.

        Args:
            configuration: as a client sent it.
            former: the deployed configuration.

        Raises:
            ConfigurationError: as for :meth:`complete`.
        """
        return self.complete(configuration, await self._taken(configuration, former), former)

    async def _taken(self, configuration: Configuration, former: Configuration | None) -> dict[str, frozenset[int]]:
        lacking = lacking_ports(configuration)
        wanted = [instance for instance in configuration.instances if instance.name in lacking]
        links = {instance.name: self._instances.reached(instance) for instance in wanted}
        able = [(name, link) for name, link in sorted(links.items()) if link and self._instances.can(link, api.PORTS)]

        def request(fresh: str, _: Generation) -> api.AgentPortsRequest:
            return api.AgentPortsRequest(fresh, former)

        found: dict[str, frozenset[int]] = {}
        for answer in await ask(self._bus, able, request, self._timeout):
            if isinstance(answer.response, api.AgentPortsResponse):
                found[answer.instance] = frozenset(answer.response.ports)
            else:
                facts = {"instance": answer.instance}
                logger.warning("instance %s does not tell which ports are taken", answer.instance, extra=facts)
        return found
