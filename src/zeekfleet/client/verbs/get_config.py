"""The staged or the deployed configuration."""

from __future__ import annotations

from zeekfleet.broker.events.controller import GetConfigurationRequest
from zeekfleet.broker.events.notifications import DeployerRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.results import expect_data
from zeekfleet.model.management import Configuration, Result, fresh_id

DEPLOYER_TIMEOUT = 5.0
"""Seconds to wait for the name of who deployed something: it is only shown in addition to other information."""


class GetConfigVerb(Carrier):
    """Asks for configurations."""

    async def get_configuration(self, *, deployed: bool = False) -> Configuration:
        """The deployed or the staged configuration.

        Raises:
            RequestFailedError: there is none.
        """
        request = GetConfigurationRequest(fresh_id(), deployed)
        return read_configuration((await self.ask(request)).result)

    async def deployer(self, config: str) -> tuple[str, float] | None:
        """Who last deployed the configuration with this id, and when, in seconds since 1970.

        None if that is not known: the controller, which must be zeekfleet's, stores it as long as its notifications.
        """
        answer = await self.ask(DeployerRequest(fresh_id(), config), timeout=DEPLOYER_TIMEOUT)
        return (answer.by, answer.time) if answer.by else None


def read_configuration(result: Result) -> Configuration:
    """The configuration in a ``get_configuration_response``.

    Raises:
        RequestFailedError: there is none.
        ValueMismatchError: the data is no configuration.
    """
    return SECOND.codec.from_value(expect_data(result, "a configuration"), Configuration)
