"""Handles what arrives from agents: hellos, notifications, and the ends of connections."""

from __future__ import annotations

import asyncio
import logging

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import checks as check_api
from zeekfleet.broker.events import deployments as deployment_api
from zeekfleet.broker.events import presence as presence_api
from zeekfleet.broker.events import stops as stops_api
from zeekfleet.broker.events.refusals import AgentRefused
from zeekfleet.broker.generations import SECOND
from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.controller.deployment_queue import DeploymentQueue
from zeekfleet.controller.handover import Handover
from zeekfleet.controller.instances import Hello, Instances
from zeekfleet.controller.liveness import Liveness
from zeekfleet.controller.name_claims import Reservation
from zeekfleet.controller.notifications import NotificationKeeper
from zeekfleet.controller.presence import Presence
from zeekfleet.controller.progress_timeouts import ProgressTimeouts
from zeekfleet.controller.welcoming import Welcoming
from zeekfleet.model.names import name_problem
from zeekfleet.transport.bus import Bus, Delivery, Peer
from zeekfleet.transport.connections import Connections
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

SIGNS_OF_WORK = (
    api.NotifyChange,
    api.NotifyLog,
    deployment_api.NotifyNodeActions,
    stops_api.NotifyNodeStopping,
)
"""Events by which an agent shows progress in starting or stopping nodes: they renew time-outs for this agent."""

MAX_INSTANCES = 10_000
"""The most instances that may be known at the same time."""

RESERVED = 10.0
"""Seconds for which the name of a disconnected instance stays reserved: its agent is started again in less time."""

PROBE = 3.0
"""Seconds that an agent has to show that it is still alive, after another agent with the same name has connected."""

LONGEST_NAME_LOGGED = 200
"""The most characters of a wrong name that a log line shows."""


class Agents:
    """Handles events from agents, and the ends of their connections.

    Args:
        bus: the controller's bus.
        connections: the controller's connections.
        instances: the bookkeeping, which this keeps up to date.
        changed: notified whenever an instance connects or disconnects.
        welcoming: welcomes agents that have said hello.
        presence: records when each instance was last heard, and what it reported.
        liveness: keeps the leases of agents that renew them.
        keeper: stores agents' notifications, and when agents connect and disconnect.
        timeouts: renewed when an instance makes progress.
        queue: has the current deployment, which follows the states of its nodes.
        handover: knows which of an agent's actions belong to the current deployment.
    """

    def __init__(
        self,
        bus: Bus,
        connections: Connections,
        instances: Instances,
        changed: Signal,
        *,
        welcoming: Welcoming,
        presence: Presence,
        liveness: Liveness,
        keeper: NotificationKeeper,
        timeouts: ProgressTimeouts,
        queue: DeploymentQueue,
        handover: Handover,
    ) -> None:
        self._bus = bus
        self._connections = connections
        self._instances = instances
        self._changed = changed
        self._welcoming = welcoming
        self._presence = presence
        self._liveness = liveness
        self._keeper = keeper
        self._timeouts = timeouts
        self._queue = queue
        self._handover = handover
        self._told_refusals: dict[int, str] = {}

    def hear(self, sender: str, delivery: Delivery) -> None:
        """Handle an event on the topic of the instance ``sender``.

        Only the agent that is known by this name may publish there. Events of another agent with the same name are
        ignored.
        """
        known, is_its_own = self._instances.known.get(sender), self._instances.has_link(sender, delivery.peer)
        is_heard = is_its_own or (known is None and not self._instances.is_refused(sender, delivery.peer))
        if isinstance(delivery.event, SIGNS_OF_WORK) and delivery.event.instance == sender and is_heard:
            self._timeouts.progressed(sender)
        if is_its_own and not isinstance(delivery.event, presence_api.NotifyAlive):
            # A sign of life alone does not mean that the agent answers again.
            self._presence.heard(sender)
        match delivery.event:
            case api.NotifyAgentHello(instance=name) | api.FirstNotifyAgentHello(instance=name) if (
                name != sender or name_problem(name)
            ):
                _log_wrong_name(sender, name)
            case api.NotifyAgentHello(instance=name, connecting=connecting, api_version=version):
                self._hello(delivery, name, connecting, version, delivery.event.id)
            case api.FirstNotifyAgentHello(instance=name, api_version=version):
                self._hello(delivery, name, delivery.peer.dialled_for is None, version)
            case check_api.NotifyCapabilities(instance=name, names=names) if name == sender:
                if self._instances.told_its_capabilities(name, delivery.peer, names) and presence_api.RENEWS in names:
                    self._liveness.promised(delivery.peer)
            case presence_api.NotifyAlive(instance=name) if name == sender:
                self._liveness.promised(delivery.peer)  # even without a hello: an agent without supervisor says none
                if not is_its_own:
                    self._ask_for_hello(name, delivery.peer)
            case deployment_api.NotifyNodeActions(instance=name) if name == sender and is_heard:
                self._heard_actions(delivery.event)
            case api.NotifyChange() | api.NotifyError() | api.NotifyLog() as notice if is_heard:
                # Our agents publish every notification in both generations' names: take only one of them.
                is_told_once = known is None or known.generation is delivery.generation
                if notice.instance == sender and not name_problem(sender) and is_told_once:
                    self._notified(notice)
            case presence_api.NotifySupervisor(instance=name, away_since=since) if name == sender:
                if not name_problem(name) and is_heard:
                    self._presence.supervisor(name, since, delivery.peer.id)

    def lost(self, peer: Peer, reason: str) -> None:
        """Handle the end of a connection. The instance may stay known, by another connection or another agent."""
        self._told_refusals.pop(peer.id, None)
        self._forget(peer, reason)

    def _forget(self, peer: Peer, reason: str) -> None:
        former = dict(self._instances.known)
        for name in self._instances.lost(peer):
            self._lose(name, reason)
            present = self._instances.known.get(name)
            if present is not None and name in former and not present.is_same_agent(former[name]):
                self._replaced(name, present)
            elif (reservation := self._instances.reservation(name)) is not None:
                self._end_reservation_later(name, reservation)
            self._welcoming.welcome(name)
            self._changed.notify()

    def reserve_names(self) -> None:
        """When the controller starts, reserve configured instances' names for the agents that had them before."""
        for name, reservation in self._instances.reserve_names().items():
            self._end_reservation_later(name, reservation)

    def _notified(self, notice: api.NotifyChange | api.NotifyError | api.NotifyLog) -> None:
        self._keeper.heard(notice)
        if isinstance(notice, api.NotifyChange):
            if self._queue.current is not None:
                self._queue.current.heard_state(notice.instance, notice.n.name, notice.new)
            self._presence.changed(notice.instance)

    def _heard_actions(self, notice: deployment_api.NotifyNodeActions) -> None:
        if self._queue.current is not None and self._handover.has_asked(notice.reqid):
            self._queue.current.heard_actions(notice.instance, notice.actions)

    def _hello(self, delivery: Delivery, name: str, connecting: bool, version: int, endpoint: str = "") -> None:
        peer = delivery.peer
        if version != api.API_VERSION:
            reason = f"instance {name} has checked in with incompatible API version {version}"
            self._refuse(name, peer, reason)
            if self._instances.has_link(name, peer):
                self._forget(peer, reason)
            return
        facts: dict[str, object] = {"instance": name}
        if name not in self._instances.known and len(self._instances.known) >= MAX_INSTANCES:
            logger.warning("instance %s is ignored: there are %d already", name, MAX_INSTANCES, extra=facts)
            return
        match self._instances.hello(name, peer, connecting, delivery.generation, endpoint):
            case Hello.REFUSED:
                self._refuse(name, peer, self._instances.why_refused(name))
                if (first := self._instances.known.get(name)) is not None:
                    # The host of the present agent may have lost its network. Without a probe, that would show late.
                    self._connections.probe(first.peer, PROBE)
            case Hello.NEWS:
                self._presence.came(name)
                facts["address"] = peer.host
                if name in self._instances.configured:
                    facts["kind"] = "connection"
                logger.info("instance %s checked in from %s", name, peer.host, extra=facts)
                self._keeper.connected(name, f"checked in from {peer.host}")
                self._welcoming.welcome(name)
                self._changed.notify()
            case Hello.NO_NEWS if delivery.generation is SECOND:
                # An agent that has refused us says hello again when it no longer does.
                self._welcoming.welcome(name)

    def _ask_for_hello(self, name: str, peer: Peer) -> None:
        """Ask an agent for a hello: it was given up as silent, or does not know yet that this controller runs."""
        is_refused = peer.id in self._told_refusals
        if not name_problem(name) and not is_refused and len(self._instances.known) < MAX_INSTANCES:
            self._bus.publish(topics.agent(name), presence_api.AgentHelloRequest(), to=peer)

    def _end_reservation_later(self, name: str, reservation: Reservation) -> None:
        asyncio.get_running_loop().call_later(RESERVED, self._end_reservation, name, reservation)

    def _end_reservation(self, name: str, reservation: Reservation) -> None:
        if self._instances.end_reservation(name, reservation):
            self._replaced(name, self._instances.known[name])
            self._welcoming.welcome(name)
            self._changed.notify()

    def _replaced(self, name: str, present: AgentLink) -> None:
        self._presence.came(name)
        facts = {"kind": "connection", "instance": name, "address": present.peer.place}
        logger.warning("instance %s is now the agent at %s", name, present.peer.place, extra=facts)
        self._keeper.connected(name, f"is now the agent at {present.peer.place}")

    def _refuse(self, name: str, peer: Peer, reason: str) -> None:
        """Tell an agent that it is refused, and log it, once for each connection. The agent decides about its nodes."""
        if self._told_refusals.get(peer.id) == reason:
            return
        if len(self._told_refusals) >= MAX_INSTANCES:
            self._told_refusals.clear()
        self._told_refusals[peer.id] = reason
        facts = {"kind": "connection", "instance": name, "address": peer.place}
        logger.error("the agent at %s is refused: %s", peer.place, reason, extra=facts)
        self._bus.publish(topics.agent(name), AgentRefused(name, reason), to=peer)

    def _lose(self, name: str, reason: str) -> None:
        if name in self._instances.known:
            return  # it has another connection, or another agent has come
        self._presence.went(name)
        facts: dict[str, object] = {"instance": name, "error": reason}
        level = logging.INFO
        if name in self._instances.configured:
            level, facts["kind"] = logging.WARNING, "connection"
        logger.log(level, "instance %s is gone: %s", name, reason, extra=facts)
        self._keeper.gone(name, reason)


def _log_wrong_name(sender: str, name: str) -> None:
    reason = f"; its name {problem}" if (problem := name_problem(name)) else ""
    name, sender = name[:LONGEST_NAME_LOGGED], sender[:LONGEST_NAME_LOGGED]
    facts = {"instance": name, "error": reason}
    logger.warning("a hello of instance %r on the topic of %r is ignored%s", name, sender, reason, extra=facts)
