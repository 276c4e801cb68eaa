"""The controller itself: hears clients and agents, has the work done, answers (docs/protocol.md, section 8)."""

from __future__ import annotations

import asyncio
import logging

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as agent_api
from zeekfleet.broker.events import checks as check_api
from zeekfleet.broker.events import deployments as deployment_api
from zeekfleet.broker.events import presence as presence_api
from zeekfleet.broker.events import stops as stops_api
from zeekfleet.broker.events.refusals import AgentRefused
from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.controller.checking import Checking
from zeekfleet.controller.completion import Completion
from zeekfleet.controller.deployment_queue import DeploymentQueue
from zeekfleet.controller.dialling import Dialling
from zeekfleet.controller.handover import Handover
from zeekfleet.controller.instances import Hello, Instances, Known, Place
from zeekfleet.controller.keys import KeyFile
from zeekfleet.controller.membership import Membership
from zeekfleet.controller.notifications import NotificationKeeper
from zeekfleet.controller.options import ControllerOptions
from zeekfleet.controller.ordering import Ordering
from zeekfleet.controller.pipeline import Pipeline
from zeekfleet.controller.presence import Presence
from zeekfleet.controller.requests import ClientRequests
from zeekfleet.controller.staging import Stage
from zeekfleet.controller.waits import Waits
from zeekfleet.controller.welcoming import Welcoming
from zeekfleet.model.names import name_problem
from zeekfleet.store.interface import ConfigState, Store
from zeekfleet.transport.admission import Admission
from zeekfleet.transport.endpoint import Delivery, Endpoint, Peer, PeerAdded, PeerLost
from zeekfleet.transport.service import Service
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

MAX_REQUESTS = 1024
MAX_REQUESTS_OF_A_PEER = 256
"""How many are worked on at a time."""

SIGNS_OF_WORK = (
    agent_api.NotifyChange,
    agent_api.NotifyLog,
    deployment_api.NotifyNodeActions,
    stops_api.NotifyNodeStopping,
)
"""What an agent tells that has nodes started or stopped: whoever waits for it waits on."""

MAX_INSTANCES = 10_000
"""Instances that may be known at a time."""

PLACE_KEPT = 10.0
"""Seconds that another agent of its name has to wait when an instance has gone: an agent is started again in less."""

SIGN_OF_LIFE = 3.0
"""Seconds in which an agent has to show that it is there, when another one of its name has come."""


class Controller:
    """A cluster's controller.

    Args:
        options: see there.
        endpoint: its listeners, for clients and agents, are open.
        store: what survives it.
    """

    def __init__(self, options: ControllerOptions, endpoint: Endpoint, store: Store) -> None:
        self._endpoint = endpoint
        self._name = options.name
        self._loss = options.loss
        self._turned_away: dict[int, str] = {}
        self._instances = Instances()
        self._tasks = asyncio.TaskGroup()
        self._changed = Signal()
        base = options.request_timeout
        self._completion = Completion(
            endpoint,
            self._instances,
            options.assignment,
            controller_port=options.port,
            controller_name=options.name,
            request_timeout=base,
        )
        self._stage = Stage(store, self._completion)
        self._checking = Checking(endpoint, self._instances, base)
        self._welcoming = Welcoming(endpoint, self._instances, self._changed, base, self._tasks, self._check_ready)
        self._membership = Membership(self._instances, Dialling(endpoint), self._welcoming, self._changed)
        self._waits = Waits()
        self._handover = Handover(endpoint, self._instances, self._changed, self._waits, base)
        self._presence = Presence(endpoint, self._instances, store, base)
        pipeline = Pipeline(
            self._stage,
            membership=self._membership,
            completion=self._completion,
            checking=self._checking,
            handover=self._handover,
            keys=KeyFile(options.key_file),
            presence=self._presence,
            changed=self._changed,
            wait=options.instance_wait or base,
        )
        self._queue = DeploymentQueue(endpoint, pipeline, self._stage, self._tasks)
        self._keeper = NotificationKeeper(store)
        ordering = Ordering(self._stage, self._queue, check=options.check_before_deploy, on_staged=self._forget_loss)
        self._requests = ClientRequests(
            endpoint,
            self._instances,
            self._stage,
            completion=self._completion,
            checking=self._checking,
            waits=self._waits,
            presence=self._presence,
            request_timeout=base,
        )
        self._service = Service(
            endpoint,
            topics.CONTROLLER,
            "the controller",
            self._tasks,
            (ordering, self._requests, self._presence, self._keeper),
            Admission(MAX_REQUESTS, MAX_REQUESTS_OF_A_PEER, "requests"),
        )
        endpoint.subscribe(topics.CONTROLLER)
        endpoint.subscribe(topics.AGENT_PREFIX)

    async def run(self) -> None:
        """Serve until cancelled; a configuration that was deployed before is deployed again."""
        async with self._tasks:
            await self._presence.load()
            self._tasks.create_task(self._keeper.run())
            self._tasks.create_task(self._queue.run())
            self._tasks.create_task(self._presence.run())
            persisted = await self._stage.get(ConfigState.DEPLOYED)
            if persisted is not None:
                logger.info("deploying persisted configuration %s", persisted.id, extra={"config": persisted.id})
                self._membership.adopt(persisted, self._membership.plan(persisted))
                for name, place in self._instances.keep_places().items():
                    self._keep_place(name, place)
                self._check_ready()
            async for happening in self._endpoint.events():
                try:
                    await self._happened(happening)
                except Exception:
                    # Whatever a peer made us stumble over must not take the controller down.
                    logger.exception("%s was not dealt with", type(happening).__name__)

    async def _happened(self, happening: Delivery | PeerAdded | PeerLost) -> None:
        match happening:
            case PeerAdded(peer=peer):
                logger.debug("peer %s added", peer)
                self._tell_of_loss()
            case PeerLost(peer=peer, reason=reason):
                self._lost(peer, reason)
                self._presence.disconnected(peer.id)
                self._queue.client_gone(peer.id)
            case Delivery(topic=topics.CONTROLLER):
                await self._service.hear(happening)
            case Delivery(topic=topic):
                self._heard_agent(topic.removeprefix(topics.AGENT_PREFIX + "/"), happening)

    def _gone(self, name: str, reason: str) -> None:
        if name in self._instances.known:
            return  # by another connection still, or another agent
        self._presence.went(name)
        facts: dict[str, object] = {"instance": name, "error": reason}
        level = logging.INFO
        if name in self._instances.configured:
            level, facts["kind"] = logging.WARNING, "connection"
        logger.log(level, "instance %s is gone: %s", name, reason, extra=facts)

    def _tell_of_loss(self) -> None:
        """As an agent tells of its alarms, to whoever listens to those."""
        if self._loss:
            for generation in (SECOND, FIRST):
                notice = agent_api.NotifyError(self._name, self._loss)
                self._endpoint.publish(topics.agent(self._name), notice, generation)

    def _forget_loss(self) -> None:
        self._loss = ""

    # --- agents

    def _heard_agent(self, sender: str, delivery: Delivery) -> None:
        """Take a notification; an agent speaks for itself, on its own topic, and no namesake for it."""
        known, is_its_own = self._instances.known.get(sender), self._instances.has_link(sender, delivery.peer)
        is_heard = is_its_own or (known is None and not self._instances.is_refused(sender, delivery.peer))
        if isinstance(delivery.event, SIGNS_OF_WORK) and delivery.event.instance == sender and is_heard:
            self._waits.progressed(sender)
        if is_its_own:
            self._presence.heard(sender)
        match delivery.event:
            case agent_api.NotifyAgentHello(instance=name) | agent_api.FirstNotifyAgentHello(instance=name) if (
                name != sender or name_problem(name)
            ):
                reason = f"; its name {problem}" if (problem := name_problem(name)) else ""
                logger.warning(
                    "a hello of instance %r on the topic of %r is ignored%s",
                    name[:200],
                    sender[:200],
                    reason,
                    extra={"instance": name[:200], "error": reason},
                )
            case agent_api.NotifyAgentHello(instance=name, connecting=connecting, api_version=version):
                self._hello(delivery, name, connecting, version, delivery.event.id)
            case agent_api.FirstNotifyAgentHello(instance=name, api_version=version):
                self._hello(delivery, name, not delivery.peer.dialled, version)
            case check_api.NotifyCapabilities(instance=name, names=names) if name == sender:
                self._instances.told_its_capabilities(name, delivery.peer, names)
            case deployment_api.NotifyNodeActions(instance=name) if name == sender and is_heard:
                self._heard_actions(delivery.event)
            case agent_api.NotifyChange() | agent_api.NotifyError() | agent_api.NotifyLog() as notice if is_heard:
                # An agent of ours tells everything in both generations' names.
                if notice.instance == sender and (known is None or known.generation is delivery.generation):
                    self._keeper.keep(notice)
                    tracker = self._queue.current
                    if tracker is not None and isinstance(notice, agent_api.NotifyChange):
                        tracker.heard_state(notice.n.name, notice.new)
                    if isinstance(notice, agent_api.NotifyChange):
                        self._presence.changed(sender)
            case presence_api.NotifySupervisor(instance=name, away_since=since) if name == sender:
                if not name_problem(name) and is_heard:
                    self._presence.supervisor(name, since, delivery.peer.id)

    def _heard_actions(self, notice: deployment_api.NotifyNodeActions) -> None:
        tracker = self._queue.current
        if tracker is not None and self._handover.has_asked(notice.reqid):
            tracker.heard_actions(notice.instance, notice.actions)

    def _hello(self, delivery: Delivery, name: str, connecting: bool, version: int, endpoint: str = "") -> None:
        peer = delivery.peer
        if version != agent_api.API_VERSION:
            reason = f"instance {name} has checked in with incompatible API version {version}"
            self._turn_away(name, peer, reason)
            if self._instances.has_link(name, peer):
                self._lost(peer, reason)
            return
        if name not in self._instances.known and len(self._instances.known) >= MAX_INSTANCES:
            logger.warning(
                "instance %s is ignored: there are %d already", name, MAX_INSTANCES, extra={"instance": name}
            )
            return
        match self._instances.hello(name, peer, connecting, delivery.generation, endpoint):
            case Hello.REFUSED:
                self._turn_away(name, peer, self._instances.why_refused(name))
                if (first := self._instances.known.get(name)) is not None:
                    # Of one that has lost its network nobody would know for long.
                    self._endpoint.probe(first.peer, SIGN_OF_LIFE)
            case Hello.NEWS:
                self._presence.came(name)
                facts: dict[str, object] = {"instance": name, "address": peer.host}
                if name in self._instances.configured:
                    facts["kind"] = "connection"
                logger.info("instance %s checked in from %s", name, peer.host, extra=facts)
                self._welcoming.welcome(name)
                self._changed.notify()
            case Hello.NO_NEWS if delivery.generation is SECOND:
                self._welcoming.welcome(name)  # one that has refused us may say so because it does no longer

    def _lost(self, peer: Peer, reason: str) -> None:
        """Whoever spoke on a connection does so no more; it may be there by another one, or another in its place."""
        former = dict(self._instances.known)
        for name in self._instances.lost(peer):
            self._gone(name, reason)
            present = self._instances.known.get(name)
            if present is not None and name in former and not present.is_same_agent(former[name]):
                self._replaced(name, present)
            elif (place := self._instances.place_kept(name)) is not None:
                self._keep_place(name, place)
            self._welcoming.welcome(name)
            self._changed.notify()

    def _keep_place(self, name: str, place: Place) -> None:
        asyncio.get_running_loop().call_later(PLACE_KEPT, self._give_away, name, place)

    def _give_away(self, name: str, place: Place) -> None:
        if self._instances.give_away(name, place):
            self._replaced(name, self._instances.known[name])
            self._welcoming.welcome(name)
            self._changed.notify()

    def _replaced(self, name: str, present: Known) -> None:
        self._presence.came(name)
        facts = {"kind": "connection", "instance": name, "address": present.peer.place}
        logger.warning("instance %s is now the agent at %s", name, present.peer.place, extra=facts)

    def _turn_away(self, name: str, peer: Peer, reason: str) -> None:
        """Tell both sides, once a connection, that an agent is not taken; its own nodes are its own affair."""
        if self._turned_away.get(peer.id) == reason:
            return
        if len(self._turned_away) >= MAX_INSTANCES:
            self._turned_away.clear()
        self._turned_away[peer.id] = reason
        fields = {"kind": "connection", "instance": name, "address": peer.place}
        logger.error("the agent at %s is refused: %s", peer.place, reason, extra=fields)
        self._endpoint.publish(topics.agent(name), AgentRefused(name, reason), to=peer)

    def _check_ready(self) -> None:
        """When all are ready, deploy what is deployed once more: who runs it already does nothing."""
        if self._instances.all_ready and self._instances.configured:
            logger.info("agents ready: %s", ", ".join(sorted(self._instances.configured)))
            self._queue.deploy_again()
