"""Handles clients' requests to stage and deploy configurations and to give deployments up.

zeek-client waits for an answer only for a fixed time. So it is answered within that time with what is known by then,
and its deployments are not queued behind others. Clients that subscribe to the progress of deployments wait as long as
there is progress.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from zeekfleet.broker import topics
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import deployments as deployment_api
from zeekfleet.controller.audit import whence
from zeekfleet.controller.deployment import Deployment, without_id
from zeekfleet.controller.deployment_queue import DeploymentQueue
from zeekfleet.controller.staging import Stage
from zeekfleet.controller.tracker import Tracker
from zeekfleet.errors import RequestFailedError, StoreError
from zeekfleet.model.management import Configuration, Result, fresh_id
from zeekfleet.planning.deadlines import CEILING, ZEEK_CLIENT_ANSWER
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.service import Context, handler

logger = logging.getLogger(__name__)


class DeploymentRequests:
    """Handles these requests.

    Args:
        stage: where configurations are kept.
        queue: where deployments wait for their turn.
        check: whether the agents check configurations before they are deployed.
        on_staged: called when a configuration was staged.
    """

    def __init__(self, stage: Stage, queue: DeploymentQueue, *, check: bool, on_staged: Callable[[], None]) -> None:
        self._stage = stage
        self._queue = queue
        self._check = check
        self._on_staged = on_staged
        self._in_order = asyncio.Lock()

    @handler
    async def stage(self, request: api.StageConfigurationRequest, context: Context) -> api.StageConfigurationResponse:
        """Validate and store a configuration."""
        await self._try_to_stage(request.reqid, request.config)
        return api.StageConfigurationResponse(request.reqid, (Result(request.reqid, data=request.config.id),))

    @handler
    async def deploy(self, request: api.DeployRequest, context: Context) -> api.DeployResponse:
        """Queue a deployment of the configuration that is staged now, and wait for its outcome."""
        async with self._in_order:
            staged = await self._stage.get(ConfigState.STAGED)
            if staged is None:
                raise RequestFailedError(request.reqid, "no configuration available to deploy")
            if pending := self._queue.in_the_way(can_wait=_is_patient(context.peer)):
                raise RequestFailedError(request.reqid, f"earlier deployment {pending} still pending")
            tracker = self._submit(request.reqid, staged, context.peer)
        return api.DeployResponse(request.reqid, tuple(await self._outcome(tracker, context.peer)))

    @handler
    async def set_configuration(
        self, request: api.SetConfigurationRequest, context: Context
    ) -> api.SetConfigurationResponse:
        """Validate, stage and deploy in one, for the first generation."""
        # Staging runs in a thread. A second request that arrives meanwhile must find the first deployment pending.
        async with self._in_order:
            if pending := self._queue.in_the_way(can_wait=False):
                raise RequestFailedError(request.reqid, f"request {pending} still pending")
            await self._try_to_stage(request.reqid, request.config)
            tracker = self._submit(request.reqid, request.config, context.peer)
        results = without_id(await self._outcome(tracker, context.peer))
        return api.SetConfigurationResponse(request.reqid, tuple(results))

    @handler
    def abort(
        self, request: deployment_api.AbortDeploymentRequest, context: Context
    ) -> deployment_api.AbortDeploymentResponse:
        """Give a deployment up."""
        told = self._queue.abort(request.deployment, str(context.peer))
        logger.warning("%s", told)
        return deployment_api.AbortDeploymentResponse(request.reqid, Result(request.reqid, data=told))

    async def _try_to_stage(self, reqid: str, configuration: Configuration) -> None:
        """Stage a configuration.

        Raises:
            ConfigurationError: it is not valid.
            RequestFailedError: it cannot be stored.
        """
        about: dict[str, object] = {"config": configuration.id}
        try:
            await self._stage.stage(configuration)
        except StoreError as error:
            facts = about | {"error": str(error)}
            logger.error("configuration %s was not staged: %s", configuration.id, error, extra=facts)
            raise RequestFailedError(reqid, str(error)) from error
        self._on_staged()
        logger.info("configuration %s staged", configuration.id, extra=about)

    def _submit(self, reqid: str, configuration: Configuration, client: Peer) -> Tracker:
        """Put a deployment into the queue. Returns its tracker.

        Raises:
            RequestFailedError: too many are waiting already.
        """
        deployment = Deployment(
            reqid or fresh_id(), configuration, check=self._check, client=client.id, by=whence(client)
        )
        return self._queue.submit(deployment)

    async def _outcome(self, tracker: Tracker, client: Peer) -> Sequence[Result]:
        """The results; or what is known so far, when the client must be answered."""
        await asyncio.wait({tracker.ended}, timeout=None if _is_patient(client) else ZEEK_CLIENT_ANSWER)
        return tracker.ended.result().results if tracker.ended.done() else tracker.results_so_far()


def longest_wait(client: Peer) -> float:
    """Seconds within which a client must be answered."""
    return CEILING if _is_patient(client) else ZEEK_CLIENT_ANSWER


def _is_patient(client: Peer) -> bool:
    """Whether a client waits as long as there is progress: it subscribes to the topic on which that is published."""
    return client.hears(topics.DEPLOYMENTS)
