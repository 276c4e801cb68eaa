"""The agent: receives events from controllers, nodes and the supervisor, and hands each to the part that handles it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection

from zeekfleet.agent.certificates import Certificates
from zeekfleet.agent.check import ConfigurationCheck, NodeChecker
from zeekfleet.agent.control import SupervisorControl, cluster_nodes
from zeekfleet.agent.crash_history import CrashHistory
from zeekfleet.agent.deployment import Deployer
from zeekfleet.agent.directory_cleanup import DirectoryCleanup
from zeekfleet.agent.dispatch import PING, NodeDispatcher
from zeekfleet.agent.health import HealthWatch
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.options import AgentOptions
from zeekfleet.agent.orders import Orders
from zeekfleet.agent.permission import Permission
from zeekfleet.agent.plan import node_from_config
from zeekfleet.agent.roster import Roster
from zeekfleet.agent.served_controller import ServedController
from zeekfleet.agent.start_barrier import release_all
from zeekfleet.agent.start_order import StartOrder
from zeekfleet.agent.views import Views
from zeekfleet.broker import topics
from zeekfleet.broker.events import node as node_api
from zeekfleet.broker.events import supervision
from zeekfleet.broker.events import supervisor as supervisor_api
from zeekfleet.broker.events.certificates import RevokedCertificates
from zeekfleet.broker.events.checks import CHECK, PORTS
from zeekfleet.broker.events.dispatches import NodePeers, NodeTraceDone
from zeekfleet.broker.events.presence import RENEWAL, RENEWS, AgentHelloRequest
from zeekfleet.broker.events.releases import RELEASES
from zeekfleet.broker.events.secrets import ClusterKeys
from zeekfleet.errors import UnansweredError
from zeekfleet.model.enums import Role
from zeekfleet.model.management import Result
from zeekfleet.model.names import NODES
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.supervisor import NodeStatus
from zeekfleet.node.engine import NodeLinks
from zeekfleet.transport.admission import MAX_OF_A_CONTROLLER, MAX_REQUESTS, Admission
from zeekfleet.transport.bus import Bus, BusEvent, Delivery, Peer, PeerAdded, PeerLost
from zeekfleet.transport.service import Service
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

CONTROLLER_FILE = "controller.json"
"""The file in the agent's directory that says which controller the agent serves."""

PING_AFTER = 1.0
"""Seconds between two pings of a started node that has not said hello."""

JITTER = 0.2
"""The fraction by which the time between two signs of life may be shorter."""


class Agent:
    """One instance's agent.

    Args:
        options: the agent's options.
        bus: connects the agent with controllers and nodes.
        supervisor: the bus of this host's supervisor.
        links: how the nodes are reached.
        checker: finds what would keep nodes from coming up; without one, configurations cannot be checked.

    Attributes:
        certificates: has the agent's certificate renewed, and is told who is revoked.
    """

    def __init__(
        self,
        options: AgentOptions,
        bus: Bus,
        supervisor: Bus,
        links: NodeLinks,
        checker: NodeChecker | None = None,
    ) -> None:
        self._options = options
        self._bus = bus
        self._supervisor = supervisor
        self._links = links
        self._topic = topics.agent(options.name)
        capabilities = frozenset({RELEASES, RENEWS} if checker is None else {RELEASES, RENEWS, CHECK, PORTS})
        self._notifier = Notifier(bus, options.name, options.dials_controller, options.host, capabilities)
        self._roster = Roster(self._notifier.change)
        self._control = SupervisorControl(supervisor, options.request_timeout, options.request_timeout + options.grace)
        self._dispatcher = NodeDispatcher(links, self._roster.peers)
        self._deployer = Deployer(
            options.name,
            options.state_directory,
            self._control,
            self._roster,
            links,
            self._notifier,
            StartOrder(
                links.readiness(self._roster), options.time_for_a_group, has_start_barrier=options.start_barrier
            ),
            on_adopted=self._adopted,
        )
        self._cleanup = DirectoryCleanup(
            options.state_directory,
            options.keep_departed,
            self._processes,
            self._deployer.without_deployments,
            self._notifier.log,
        )
        self._health = HealthWatch(
            options.health, self._roster, self._dispatcher, links, self._notifier, self._control.fail
        )
        self._crash_history = CrashHistory(
            self._roster, self._control, self._notifier, self._deployer, options.state_directory
        )
        self._tasks = asyncio.TaskGroup()
        self._served_controller = ServedController(
            options.state_directory / NODES / options.name / CONTROLLER_FILE,
            self._hello_to_others,
            options.controller_hold,
        )
        permission = Permission(options.name, self._served_controller, on_standby=self._hello_to_others)
        views = Views(options, self._control, self._roster, self._dispatcher, self._crash_history)
        orders = Orders(
            options,
            self._control,
            self._roster,
            self._dispatcher,
            self._deployer,
            self._notifier,
            tasks=self._tasks,
            follow=self._follow,
        )
        checks = () if checker is None else (self._check(checker),)
        self._service = Service(
            bus,
            self._topic,
            f"agent '{options.name}'",
            self._tasks,
            (permission, orders, views, *checks),
            Admission(MAX_REQUESTS, MAX_OF_A_CONTROLLER, "requests"),
            rule=permission.problem,
            instance=options.name,
        )
        self._controllers: dict[int, Peer] = {}
        self.certificates = Certificates(bus, options.name)
        self._supervised = False
        self._launched = Signal()
        links.on_event(self._heard_node)
        bus.subscribe(self._topic)
        bus.subscribe(topics.NODE)
        bus.subscribe(topics.secrets(options.name))
        supervisor.subscribe(topics.SUPERVISOR)
        supervisor.subscribe(topics.NODE_EXITS)

    async def run(self) -> None:
        """Serve until cancelled."""
        # A former agent may have been killed during a deployment, with nodes waiting at the start barrier.
        release_all((self._options.state_directory / NODES).glob("*"))
        self._served_controller.remember()
        async with self._tasks:
            self._tasks.create_task(self._hear_supervisor())
            self._tasks.create_task(self._ask_for_hellos())
            self._tasks.create_task(self._renew_lease())
            self._tasks.create_task(self._health.run())
            if self._options.keep_departed:
                self._tasks.create_task(self._cleanup.run())
            try:
                await self._hear()
            finally:
                self._links.close()
                self._served_controller.close()

    def _check(self, checker: NodeChecker) -> ConfigurationCheck:
        options = self._options
        return ConfigurationCheck(
            options.name, options.state_directory, self._control, self._links, checker, options.request_timeout
        )

    def _adopted(self, names: Collection[str]) -> None:
        self._cleanup.configured(names)

    async def _processes(self) -> frozenset[str] | None:
        """The names of all processes of the supervisor; None if it does not answer."""
        try:
            return frozenset(await self._control.status())
        except UnansweredError:
            return None

    # --- what arrives

    async def _hear(self) -> None:
        async for received in self._bus.events():
            try:
                await self._happened(received)
            except Exception:
                # A peer's event must not end the agent, whatever error it causes.
                logger.exception("%s was not processed", type(received).__name__)

    async def _happened(self, received: BusEvent) -> None:
        match received:
            case PeerAdded(peer=peer) if peer.role is Role.CONTROLLER:
                self._controllers[peer.id] = peer
                self.certificates.found(peer)
                self._served_controller.found(peer)
                self._introduce()
            case PeerLost(peer=peer):
                self._controllers.pop(peer.id, None)
                self.certificates.lost(peer)
                self._served_controller.lost(peer, self._controllers.values())
            case Delivery(topic=self._topic, event=AgentHelloRequest()):
                self._introduce()
            case Delivery(topic=self._topic, event=RevokedCertificates(list=revoked), peer=peer):
                self.certificates.told(revoked, peer)
            case Delivery(topic=topics.NODE, event=event):
                self._heard_node(event)
            case Delivery(topic=topic, event=ClusterKeys(keys=keys)) if topic == topics.secrets(self._options.name):
                self._links.store_keys(keys)
            case Delivery():
                await self._service.hear(received)

    def _introduce(self) -> None:
        """Say hello. Without its supervisor, an agent can do nothing: then report that instead."""
        if self._supervised:
            self._notifier.hello()
        else:
            self._notifier.supervisor(self._control.away_since)

    async def _renew_lease(self) -> None:
        """Give a sign of life again and again; many agents that started at one time soon do so at different times."""
        while True:
            await asyncio.sleep(RENEWAL * (1 - JITTER * random.random()))  # noqa: S311 - no secret
            self._notifier.alive()

    def _hello_to_others(self, former: Peer | None = None) -> None:
        """Say hello once more if there is a controller besides ``former``, which does not need us any more."""
        others = any(former is None or not peer.is_same(former) for peer in self._controllers.values())
        if self._supervised and others:
            self._notifier.hello()

    def _heard_node(self, event: object) -> None:
        match event:
            case node_api.NotifyNodeHello(node=name):
                logger.debug("node %s says hello", name)
                self._roster.hello(name)
            case NodeTraceDone(node=name, path=path) if name in self._roster:
                self._notifier.trace_done(name, path)
            case NodePeers(node=name, missing=missing):
                self._roster.peers(name, missing)
            case node_api.NodeDispatchResponse(result=Result(node=str(name))):
                # Process the answer before the hello: the hello may end a deployment, which reports missing peers.
                self._dispatcher.received(event)
                self._roster.hello(name)

    async def _hear_supervisor(self) -> None:
        async for received in self._supervisor.events():
            match received:
                case PeerAdded():
                    self._control.found()
                    await self._supervisor_found()
                case PeerLost(reason=reason):
                    self._supervised = False
                    self._control.lost()
                    logger.warning("lost the supervisor: %s", reason, extra={"error": reason})
                    self._notifier.supervisor(self._control.away_since)
                    self._roster.lost()
                case Delivery(event=supervisor_api.NodeStatus(node=name, pid=pid)):
                    former = self._roster.get(name)
                    is_successor = former is not None and former.life.next_process_is_successor
                    self._roster.started(name, pid)
                    self._follow()
                    if is_successor:
                        # The roster may have taken the new process' hello for the former process'.
                        self._dispatcher.send(PING, (name,))
                case Delivery(event=supervisor_api.NotifyNodeExit(node=name, outputs=outputs)):
                    self._roster.exited(name, outputs)
                    self._follow()
                case Delivery(event=supervision.NodeStopping() as news):
                    self._control.still_working()
                    self._notifier.stopping(news)
                case Delivery(event=supervision.NodeExitDetail() as end):
                    self._crash_history.ended(end)
                case Delivery(event=supervision.NodeFailed() as failure):
                    self._crash_history.failed(failure)

    async def _supervisor_found(self) -> None:
        """Ask the supervisor what runs, then say hello. Without a supervisor the agent can do nothing."""
        processes: dict[str, NodeStatus] = {}
        details: dict[str, NodeDetails] = {}
        try:
            processes = await self._control.status()
            details = await self._control.details()
        except UnansweredError as error:
            logger.warning("the supervisor does not tell its status: %s", error, extra={"error": str(error)})
        configs = cluster_nodes(processes)
        self._deployer.configs = configs
        if self._deployer.configuration is None:
            self._roster.keep([node_from_config(self._options.name, config) for config in configs.values()])
        for name in configs:
            known = details.get(name)
            if known is not None and not known.runs and (known.failed or known.exited_at is not None):
                self._roster.found_ended(name, known.failed)  # the status has the pid of its last process
            else:
                self._roster.found(name, processes[name].pid)
        self._supervised = True
        self._follow()
        if found := self._roster.pending():
            self._dispatcher.send(PING, found)  # these nodes said hello before this agent started
        self._notifier.supervisor(None)
        self._notifier.hello()

    def _follow(self) -> None:
        """Connect to the nodes that run now, and start pinging those that have not said hello."""
        names = self._roster.names
        pids = {name: entry.pid for name in names if (entry := self._roster[name]).pid is not None}
        self._links.follow({name: pid for name, pid in pids.items() if pid is not None}, self._deployer.configs)
        if self._roster.pending():
            self._launched.notify()

    async def _ask_for_hellos(self) -> None:
        """Ping started nodes until they have said hello; an answer counts as a hello."""
        while True:
            await self._launched.next()
            await asyncio.sleep(PING_AFTER)
            while waiting := self._roster.pending():
                self._dispatcher.send(PING, waiting)
                await asyncio.sleep(PING_AFTER)
