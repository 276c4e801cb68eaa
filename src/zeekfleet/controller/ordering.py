"""Clients' wishes about configurations: staged, deployed, given up; each answered as that client can wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import deployments as deployment_api
from zeekfleet.controller.deployment import without_id
from zeekfleet.controller.deployments import Deployments
from zeekfleet.controller.orders import Order
from zeekfleet.controller.staging import Stage
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
        deployments: the queue.
        check: whether deployments are checked by the agents first.
        on_staged: called when a configuration was staged.
    """

    def __init__(
        self, endpoint: Endpoint, stage: Stage, deployments: Deployments, *, check: bool, on_staged: Callable[[], None]
    ) -> None:
        self._endpoint = endpoint
        self._stage = stage
        self._deployments = deployments
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
        order = None
        async with self._in_order:
            staged = await self._stage.get(ConfigState.STAGED)
            pending = "" if _is_patient(delivery.peer) else self._deployments.pending
            if staged is None:
                error = "no configuration available to deploy"
            elif pending:
                error = f"earlier deployment {pending} still pending"
            else:
                order, error = self._submit(delivery, reqid, staged)
        results = [Result(reqid, False, error=error)] if order is None else await self._outcome(order, delivery.peer)
        self._endpoint.reply(delivery, api.DeployResponse(reqid, tuple(results)))

    async def set_configuration(self, delivery: Delivery) -> None:
        """First generation: validate, stage and deploy in one; no answer is wanted without an id."""
        assert isinstance(delivery.event, api.SetConfigurationRequest)  # noqa: S101
        reqid, configuration = delivery.event.reqid, delivery.event.config
        order, error = None, ""
        results: list[Result] = []
        # Staging takes its time in a thread: who comes second must find the first one's deployment pending.
        async with self._in_order:
            if pending := self._deployments.pending:
                error = f"request {pending} still pending"
            elif not (results := await self._try_to_stage(reqid, configuration)):
                order, error = self._submit(delivery, reqid, configuration)
        if order is not None:
            results = without_id(await self._outcome(order, delivery.peer))
        elif error:
            results = [Result(reqid, False, error=error)]
        if reqid:
            self._endpoint.reply(delivery, api.SetConfigurationResponse(reqid, tuple(results)))

    def abort(self, delivery: Delivery, reqid: str, deployment: str) -> None:
        """Give a deployment up."""
        try:
            told = self._deployments.abort(deployment, delivery.peer.name or delivery.peer.host)
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

    def _submit(self, delivery: Delivery, reqid: str, configuration: Configuration) -> tuple[Order | None, str]:
        """The order, or None and why it is not taken."""
        peer = delivery.peer
        order = Order(reqid or fresh_id(), configuration, check=self._check, peer=peer.id)
        try:
            self._deployments.submit(order)
        except RequestFailedError as error:
            return None, str(error)
        return order, ""

    async def _outcome(self, order: Order, client: Peer) -> list[Result]:
        """What came of it, or what is known so far where the client would not wait longer."""
        await asyncio.wait({order.results}, timeout=None if _is_patient(client) else ZEEK_CLIENT_ANSWER)
        return order.results.result() if order.results.done() else order.results_so_far()


def longest_wait(client: Peer) -> float:
    """The seconds in which a client wants to hear something."""
    return CEILING if _is_patient(client) else ZEEK_CLIENT_ANSWER


def _is_patient(client: Peer) -> bool:
    return client.name.startswith(PATIENT)
