"""Clients' wishes about configurations: staged, deployed, given up; each answered as that client can wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import deployments as deployment_api
from zeekfleet.controller.deployment import Deployment, without_id
from zeekfleet.controller.deployment_queue import DeploymentQueue
from zeekfleet.controller.staging import Stage
from zeekfleet.controller.tracker import Tracker
from zeekfleet.errors import ConfigurationError, RequestFailedError, StoreError
from zeekfleet.model.management import Configuration, Result, fresh_id
from zeekfleet.planning.deadlines import CEILING, ZEEK_CLIENT_ANSWER
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.endpoint import Delivery, Endpoint, Peer

logger = logging.getLogger(__name__)

PATIENT = "zeekfleet"
"""How the names begin of clients that wait as long as there is progress; others are taken for zeek-client."""


class Ordering:
    """Takes orders from clients.

    Args:
        endpoint: where answers go.
        stage: where configurations are kept.
        queue: where deployments wait for their turn.
        check: whether deployments are checked by the agents first.
        on_staged: called when a configuration was staged.
    """

    def __init__(
        self, endpoint: Endpoint, stage: Stage, queue: DeploymentQueue, *, check: bool, on_staged: Callable[[], None]
    ) -> None:
        self._endpoint = endpoint
        self._stage = stage
        self._queue = queue
        self._check = check
        self._on_staged = on_staged
        self._in_order = asyncio.Lock()

    async def stage_configuration(self, delivery: Delivery) -> None:
        """Validate and keep a configuration."""
        assert isinstance(delivery.event, api.StageConfigurationRequest)  # noqa: S101 - handlers are found by class
        reqid, configuration = delivery.event.reqid, delivery.event.config
        results = await self._try_to_stage(reqid, configuration) or [Result(reqid, data=configuration.id)]
        self._endpoint.reply(delivery, api.StageConfigurationResponse(reqid, tuple(results)))

    async def deploy(self, delivery: Delivery) -> None:
        """Deploy what is staged now, when it is its turn."""
        assert isinstance(delivery.event, api.DeployRequest)  # noqa: S101
        reqid = delivery.event.reqid
        tracker = None
        async with self._in_order:
            staged = await self._stage.get(ConfigState.STAGED)
            pending = "" if _is_patient(delivery.peer) else self._queue.pending
            if staged is None:
                error = "no configuration available to deploy"
            elif pending:
                error = f"earlier deployment {pending} still pending"
            else:
                tracker, error = self._submit(delivery, reqid, staged)
        results = (
            [Result(reqid, False, error=error)] if tracker is None else await self._outcome(tracker, delivery.peer)
        )
        self._endpoint.reply(delivery, api.DeployResponse(reqid, tuple(results)))

    async def set_configuration(self, delivery: Delivery) -> None:
        """First generation: validate, stage and deploy in one; no answer is wanted without an id."""
        assert isinstance(delivery.event, api.SetConfigurationRequest)  # noqa: S101
        reqid, configuration = delivery.event.reqid, delivery.event.config
        tracker, error = None, ""
        results: list[Result] = []
        # Staging takes its time in a thread: who comes second must find the first one's deployment pending.
        async with self._in_order:
            if pending := self._queue.pending:
                error = f"request {pending} still pending"
            elif not (results := await self._try_to_stage(reqid, configuration)):
                tracker, error = self._submit(delivery, reqid, configuration)
        if tracker is not None:
            results = without_id(await self._outcome(tracker, delivery.peer))
        elif error:
            results = [Result(reqid, False, error=error)]
        if reqid:
            self._endpoint.reply(delivery, api.SetConfigurationResponse(reqid, tuple(results)))

    def abort(self, delivery: Delivery, reqid: str, deployment: str) -> None:
        """Give a deployment up."""
        try:
            told = self._queue.abort(deployment, delivery.peer.name or delivery.peer.host)
        except RequestFailedError as error:
            result = Result(reqid, False, error=str(error))
        else:
            logger.warning("%s", told)
            result = Result(reqid, data=told)
        self._endpoint.reply(delivery, deployment_api.AbortDeploymentResponse(reqid, result))

    async def _try_to_stage(self, reqid: str, configuration: Configuration) -> list[Result]:
        """Stage it; the errors, if any."""
        try:
            await self._stage.stage(configuration)
        except ConfigurationError as error:
            return [Result(reqid, False, error=problem) for problem in error.errors]
        except StoreError as error:
            logger.error(
                "configuration %s was not staged: %s",
                configuration.id,
                error,
                extra={"config": configuration.id, "error": str(error)},
            )
            return [Result(reqid, False, error=str(error))]
        self._on_staged()
        logger.info("configuration %s staged", configuration.id, extra={"config": configuration.id})
        return []

    def _submit(self, delivery: Delivery, reqid: str, configuration: Configuration) -> tuple[Tracker | None, str]:
        """What follows the deployment, or None and why it is not taken."""
        deployment = Deployment(reqid or fresh_id(), configuration, check=self._check, client=delivery.peer.id)
        try:
            return self._queue.submit(deployment), ""
        except RequestFailedError as error:
            return None, str(error)

    async def _outcome(self, tracker: Tracker, client: Peer) -> Sequence[Result]:
        """What came of it, or what is known so far where the client would not wait longer."""
        await asyncio.wait({tracker.ended}, timeout=None if _is_patient(client) else ZEEK_CLIENT_ANSWER)
        return tracker.ended.result().results if tracker.ended.done() else tracker.results_so_far()


def longest_wait(client: Peer) -> float:
    """The seconds in which a client wants to hear something."""
    return CEILING if _is_patient(client) else ZEEK_CLIENT_ANSWER


def _is_patient(client: Peer) -> bool:
    return client.name.startswith(PATIENT)
