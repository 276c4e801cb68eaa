"""The controller: makes its parts, and hands each event to the part that handles it (docs/protocol.md, section 8)."""

from __future__ import annotations

import asyncio
import logging

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as agent_api
from zeekfleet.broker.events.certificates import RenewalRequest
from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.controller.agents import Agents
from zeekfleet.controller.audit import AuditTrail
from zeekfleet.controller.certificates import Certificates
from zeekfleet.controller.checking import Checking
from zeekfleet.controller.completion import Completion
from zeekfleet.controller.deployment_queue import DeploymentQueue
from zeekfleet.controller.deployment_requests import DeploymentRequests
from zeekfleet.controller.dialling import Dialling
from zeekfleet.controller.handover import Handover
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.keys import KeyFile
from zeekfleet.controller.liveness import Liveness
from zeekfleet.controller.membership import Membership
from zeekfleet.controller.notifications import NotificationKeeper
from zeekfleet.controller.options import ControllerOptions
from zeekfleet.controller.pipeline import Pipeline
from zeekfleet.controller.presence import Presence
from zeekfleet.controller.progress_timeouts import ProgressTimeouts
from zeekfleet.controller.requests import ClientRequests
from zeekfleet.controller.staging import Stage
from zeekfleet.controller.welcoming import Welcoming
from zeekfleet.store.interface import ConfigState, Store
from zeekfleet.transport.admission import MAX_OF_A_CLIENT, MAX_REQUESTS, Admission
from zeekfleet.transport.bus import Bus, BusEvent, Delivery, Peer, PeerAdded, PeerLost
from zeekfleet.transport.connections import Connections
from zeekfleet.transport.service import Service
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)


class Controller:
    """A cluster's controller.

    Args:
        options: the controller's options.
        bus: the bus that it shares with clients and agents.
        connections: for dialling agents that do not connect to us. The caller opens the listeners for the others.
        store: where it keeps what must outlive it.
        audit: records who asks for changes; None to record nothing.

    Attributes:
        certificates: makes certificates for agents, and tells agents which certificates are revoked.
    """

    def __init__(
        self,
        options: ControllerOptions,
        bus: Bus,
        connections: Connections,
        store: Store,
        audit: AuditTrail | None = None,
    ) -> None:
        self._bus = bus
        self._name = options.name
        self._loss = options.loss
        self._instances = Instances()
        self._tasks = asyncio.TaskGroup()
        changed = Signal()
        base = options.request_timeout
        completion = Completion(
            bus,
            self._instances,
            options.assignment,
            controller_port=options.port,
            controller_name=options.name,
            request_timeout=base,
            sizes=options.sizes,
            encryption=options.encryption,
        )
        self._stage = Stage(store, completion)
        checking = Checking(bus, self._instances, base)
        welcoming = Welcoming(bus, self._instances, changed, base, self._tasks, self._check_ready)
        self._membership = Membership(self._instances, Dialling(connections, options.encryption), welcoming, changed)
        timeouts = ProgressTimeouts()
        handover = Handover(bus, self._instances, changed, timeouts, base)
        self._presence = Presence(bus, self._instances, store, base, insecure=options.encryption.insecure)
        pipeline = Pipeline(
            self._stage,
            membership=self._membership,
            completion=completion,
            checking=checking,
            handover=handover,
            keys=KeyFile(options.key_file),
            presence=self._presence,
            changed=changed,
            wait=options.instance_wait or base,
        )
        self._keeper = NotificationKeeper(bus, store, options.notifications)
        self._queue = DeploymentQueue(bus, pipeline, self._stage, self._keeper, self._tasks)
        self._liveness = Liveness(self._lost)
        self._agents = Agents(
            bus,
            connections,
            self._instances,
            changed,
            welcoming=welcoming,
            presence=self._presence,
            liveness=self._liveness,
            keeper=self._keeper,
            timeouts=timeouts,
            queue=self._queue,
            handover=handover,
        )
        deployment_requests = DeploymentRequests(
            self._stage, self._queue, check=options.check_before_deploy, on_staged=self._forget_loss
        )
        self._requests = ClientRequests(
            bus,
            self._instances,
            self._stage,
            completion=completion,
            checking=checking,
            timeouts=timeouts,
            presence=self._presence,
            request_timeout=base,
        )
        self.certificates = Certificates(
            bus, options.signer, options.revoked, lambda name: name in self._instances.known, self._tasks
        )
        self._service = Service(
            bus,
            topics.CONTROLLER,
            "the controller",
            self._tasks,
            (deployment_requests, self._requests, self._presence, self._keeper, self.certificates),
            Admission(MAX_REQUESTS, MAX_OF_A_CLIENT, "requests"),
            witness=audit,
        )
        bus.subscribe(topics.CONTROLLER)
        bus.subscribe(topics.AGENT_PREFIX)

    async def run(self) -> None:
        """Serve until cancelled; a configuration that was deployed before is deployed again."""
        async with self._tasks:
            await self._presence.load()
            if self._loss:
                self._keeper.failed(self._name, self._loss)
            self._tasks.create_task(self._keeper.run())
            self._tasks.create_task(self._queue.run())
            self._tasks.create_task(self._presence.run())
            persisted = await self._stage.get(ConfigState.DEPLOYED)
            if persisted is not None:
                logger.info("deploying persisted configuration %s", persisted.id, extra={"config": persisted.id})
                self._membership.adopt(persisted, self._membership.plan(persisted))
                self._agents.reserve_names()
                self._check_ready()
            try:
                await self._hear()
            finally:
                self._liveness.close()

    async def _hear(self) -> None:
        async for received in self._bus.events():
            try:
                await self._received(received)
            except Exception:
                # One message that we cannot handle must not end the controller.
                logger.exception("%s was not dealt with", type(received).__name__)

    async def _received(self, received: BusEvent) -> None:
        match received:
            case PeerAdded(peer=peer):
                logger.debug("peer %s added", peer)
                self._tell_of_loss()
                self.certificates.tell((peer,))
            case PeerLost(peer=peer, reason=reason):
                self._lost(peer, reason)
            case Delivery(topic=topics.CONTROLLER):
                await self._service.hear(received)
            case Delivery(event=RenewalRequest(), peer=peer):
                self._liveness.heard(peer)
                await self.certificates.hear(received)
            case Delivery(topic=topic, peer=peer):
                self._liveness.heard(peer)
                self._agents.hear(topic.removeprefix(topics.AGENT_PREFIX + "/"), received)

    def _lost(self, peer: Peer, reason: str) -> None:
        """A connection has ended, or the agent at it has fallen silent."""
        self._liveness.lost(peer)
        self._agents.lost(peer, reason)
        self._presence.disconnected(peer.id)
        self._queue.client_gone(peer.id)

    def _tell_of_loss(self) -> None:
        """Publish that a database was lost, in the form of an agent's error, for clients that subscribe to those."""
        if self._loss:
            for generation in (SECOND, FIRST):
                notice = agent_api.NotifyError(self._name, self._loss)
                self._bus.publish(topics.agent(self._name), notice, generation)

    def _forget_loss(self) -> None:
        self._loss = ""

    def _check_ready(self) -> None:
        """If all instances are ready, deploy the deployed configuration again; agents that run it already do nothing.

        This is for agents that have restarted or were out of reach.
        """
        if self._instances.all_ready and self._instances.configured:
            logger.info("agents ready: %s", ", ".join(sorted(self._instances.configured)))
            self._queue.deploy_again()
