"""The staged or the deployed configuration."""

from __future__ import annotations

from zeekfleet.broker.events.controller import GetConfigurationRequest
from zeekfleet.broker.events.notifications import DeployerRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.results import expect_data
from zeekfleet.model.management import Configuration, Result, fresh_id

DEPLOYER_TIMEOUT = 5.0
"""Seconds to wait for who has had something deployed: that is only said beside something else."""


class GetConfigVerb(Carrier):
    """Tells configurations."""

    async def get_configuration(self, *, deployed: bool = False) -> Configuration:
        """The deployed or the staged configuration.

        Raises:
            RequestFailedError: there is none.
        """
        request = GetConfigurationRequest(fresh_id(), deployed)
        return read_configuration((await self.ask(request)).result)

    async def deployer(self, config: str) -> tuple[str, float] | None:
        """Who had the configuration with this id deployed last, and when, in seconds since 1970.

        None if that is not known: the controller, which must be zeekfleet's, keeps it as long as its notifications.
        """
        answer = await self.ask(DeployerRequest(fresh_id(), config), timeout=DEPLOYER_TIMEOUT)
        return (answer.by, answer.time) if answer.by else None


def read_configuration(result: Result) -> Configuration:
    """The configuration that ``get_configuration_response`` holds.

    Raises:
        RequestFailedError: there is none.
        ValueMismatchError: the data is no configuration.
    """
    return SECOND.codec.from_value(expect_data(result, "a configuration"), Configuration)
