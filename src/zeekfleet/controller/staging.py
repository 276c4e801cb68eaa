"""From a client's configuration to one that can be deployed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

import msgspec

from zeekfleet.controller.instances import Instances
from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration
from zeekfleet.planning.ports import assign_metrics_ports, assign_ports
from zeekfleet.planning.review import losses
from zeekfleet.planning.validate import validate
from zeekfleet.store.interface import ConfigState, Store

logger = logging.getLogger(__name__)


class PortAssignment(msgspec.Struct, frozen=True):
    """Whether and from where missing ports are filled in; ``reserved`` ports never are."""

    listening: bool = True
    listening_start: int = 2200
    metrics: bool = True
    metrics_start: int = 9000
    reserved: tuple[int, ...] = ()


class Stage:
    """Validates and keeps configurations.

    Args:
        store: where they are kept.
        instances: whose addresses are filled in.
        controller_port: the port for agents, None if there is none.
        assignment: which ports are filled in.
        controller_name: what nothing in a configuration may be named.
    """

    def __init__(
        self,
        store: Store,
        instances: Instances,
        controller_port: int | None,
        assignment: PortAssignment,
        controller_name: str = "",
    ) -> None:
        self._store = store
        self._instances = instances
        self._controller_port = controller_port
        self._controller_name = controller_name
        self._assignment = assignment

    async def stage(self, configuration: Configuration) -> None:
        """Keep it as STAGED, and as READY with addresses and ports filled in; durable on return.

        Raises:
            ConfigurationError: it is not sound; every problem is told, and nothing was changed.
            StoreError: it could not be kept; nothing was changed.
        """
        ready = self.complete(configuration)
        for loss in losses(configuration):
            logger.warning("configuration %s: %s", configuration.id, loss, extra={"config": configuration.id})
        await asyncio.to_thread(self._store.put, {ConfigState.STAGED: configuration, ConfigState.READY: ready})

    def complete(
        self,
        configuration: Configuration,
        taken: Mapping[str, Collection[int]] = {},
        former: Configuration | None = None,
    ) -> Configuration:
        """A copy with addresses and ports filled in.

        Args:
            configuration: as a client sent it.
            taken: by instance, ports that others have on its host.
            former: what is deployed; nodes that stay keep the ports that they have there.

        Raises:
            ConfigurationError: it is not sound; every problem is told.
        """
        errors = validate(
            configuration,
            controller_port=self._controller_port,
            auto_assign_ports=self._assignment.listening,
            controller_name=self._controller_name,
        )
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

    async def get(self, state: ConfigState) -> Configuration | None:
        """The latest configuration in that state."""
        return await asyncio.to_thread(self._store.get, state)

    async def check_room(self, configuration: Configuration) -> None:
        """See that it could be kept as deployed, before anybody is told to run it.

        Raises:
            StoreError: it could not.
        """
        await asyncio.to_thread(self._store.check_room, configuration)

    async def deployed(self, configuration: Configuration) -> None:
        """Note that every agent has answered; durable on return.

        Raises:
            StoreError: it could not be kept.
        """
        await asyncio.to_thread(self._store.put, {ConfigState.DEPLOYED: configuration})
