"""Stage a configuration and deploy it."""

from __future__ import annotations

from zeekfleet.client.verbs.deploy import Deployed, DeployVerb
from zeekfleet.client.verbs.stage_config import StageConfigVerb
from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration


class DeployConfigVerb(StageConfigVerb, DeployVerb):
    """Stages and deploys a configuration."""

    async def deploy_config(
        self, configuration: Configuration, *, now: bool = False, timeout: float | None = None
    ) -> Deployed:
        """Stage a configuration and deploy it. ``timeout`` is for each of the two requests.

        Raises:
            ConfigurationError: the controller finds it invalid; ``errors`` has every problem.
        """
        staged = await self.stage(configuration, timeout=timeout)
        if not staged.ok:
            raise ConfigurationError(staged.errors)
        return await self.deploy(now=now, timeout=timeout)
