"""Every request to a controller and the reading of its answer, stated once (docs/protocol.md, section 8).

A method of :class:`Requests` is a verb: it builds the request, reads the answer
and returns it typed. Two classes carry requests: :class:`~zeekfleet.client.Client`
over asyncio, and :class:`~zeekfleet.client.blocking.BlockingClient`, without an
event loop, for the command line, which must start fast.

Where a method takes ``nodes``, these are names and groups (``workers``, ``@sensor-1``,
``worker-*``: see ``node_groups``); none means all. ``timeout`` is in seconds and
counts anew at each sign of progress; None means the client's own.
"""

from __future__ import annotations

import abc
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from zeekfleet.broker.events import checks, deployments, details, dispatches, presence, releases, stops
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.events.notifications import DeployerRequest, NotificationKept, NotificationsRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client import results, rolling
from zeekfleet.client.dispatched import Dispatched, read_dispatched
from zeekfleet.client.histories import Histories, read_diagnosis, read_histories
from zeekfleet.client.news import News, is_progress
from zeekfleet.client.node_groups import Member, may_be_group, members_of, narrow, resolve
from zeekfleet.client.patience import Watch
from zeekfleet.client.releases import NOTHING_DEPLOYED, ZEEK_VERSION, Releases, read_releases
from zeekfleet.client.results import Checked, Deployed, IdValues, NodesSeen, Restarted, Staged
from zeekfleet.client.status import Status, status_of
from zeekfleet.client.wanted import Wanted
from zeekfleet.errors import ConfigurationError, RequestFailedError, TransportError
from zeekfleet.model.dispatches import NET_STATS, PEER_STATS, SET_OPTION
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, NodeStatus, Result, fresh_id
from zeekfleet.model.notifications import Notification
from zeekfleet.model.presence import InstancePresence
from zeekfleet.model.supervision import Diagnosis, NodeDetails, NodeReport

R = TypeVar("R", bound=Response)

DEPLOYER_TIMEOUT = 5.0
"""Seconds to wait for who has had something deployed: that is only said beside something else."""

DAY = 86400.0

BACKLOG = 100_000
"""Events that may wait for a program that follows them."""

ROLLING_WAIT = 120.0
"""Seconds for a batch of a rolling restart to run again."""


class Watching:
    """Sees events as they arrive, until the first that it may have missed.

    Args:
        watch: is called with each event.
        wait: waits for the next one; see :meth:`Requests.wait`.
    """

    def __init__(self, watch: Watch, wait: Callable[[float], Awaitable[bool]]) -> None:
        self._watch = watch
        self._wait = wait
        self._error: TransportError | None = None

    def show(self, topic: str, event: Event) -> None:
        """An event has arrived."""
        if self._error is None:
            self._watch(topic, event)

    def end(self, error: TransportError) -> None:
        """From now on events may be missed, for this reason."""
        self._error = self._error or error

    async def next(self, timeout: float) -> bool:
        """Wait until another event has arrived and was seen; False if none came within ``timeout`` seconds.

        Raises:
            TransportError: events may have been missed since watching began. Those before were seen.
        """
        if self._error is None and not await self._wait(timeout):
            return False
        if self._error is not None:
            raise self._error
        return True


class Requests(abc.ABC):
    """The verbs. Subclasses carry the events."""

    def __init__(self) -> None:
        self._watching: list[Watching] = []

    # --- how they are carried

    @abc.abstractmethod
    async def ask(self, request: Request[R], *, timeout: float | None = None, watch: Watch | None = None) -> R:
        """Send a request and wait for its response.

        Args:
            request: what to ask.
            timeout: seconds, counted anew at each sign of progress.
            watch: tells which of the other events that arrive are signs of progress.

        Raises:
            RequestTimeoutError: no response came in time.
            TransportError: there is no connection, or it was lost.
            ProtocolError: what came is no event of the protocol.
        """

    @abc.abstractmethod
    def tell(self, event: Event) -> None:
        """Send an event that has no response.

        Raises:
            TransportError: the connection is lost.
        """

    @abc.abstractmethod
    async def wait(self, timeout: float) -> bool:
        """Wait until another event has arrived and those who watch have seen it; False if none came in time.

        Raises:
            TransportError: the connection is lost.
        """

    @contextmanager
    def watching(self, watch: Watch) -> Iterator[Watching]:
        """Have every event that arrives meanwhile seen by ``watch``, but for responses that are awaited.

        What ``watch`` returns does not count here. It sees no event after the connection was lost, even if there is a
        new one.
        """
        watching = Watching(watch, self.wait)
        self._watching.append(watching)
        try:
            yield watching
        finally:
            self._watching.remove(watching)

    def _show(self, topic: str, event: Event) -> None:
        for watching in tuple(self._watching):
            watching.show(topic, event)

    def _end_watching(self, error: TransportError) -> None:
        """The connection is lost: whoever watches has missed what happens until there is a new one."""
        for watching in self._watching:
            watching.end(error)

    # --- configurations

    async def stage(self, configuration: Configuration, *, timeout: float | None = None) -> Staged:
        """Have the controller validate and keep a configuration for :meth:`deploy`."""
        request = api.StageConfigurationRequest(fresh_id(), configuration)
        response = await self.ask(request, timeout=timeout)
        return results.read_staged(response.results)

    async def deploy(self, *, news: News | None = None, now: bool = False, timeout: float | None = None) -> Deployed:
        """Deploy the staged configuration.

        Args:
            news: follows the deployment, and has its request id.
            now: nodes that are stopped and still write get no more than their grace.
            timeout: how long to wait without any sign of progress.
        """
        news = news or News(fresh_id())
        with self._hurrying(now):
            request = api.DeployRequest(news.reqid)
            response = await self.ask(request, timeout=timeout, watch=news.heard)
        return results.read_deployed(response.results)

    async def deploy_config(
        self, configuration: Configuration, *, now: bool = False, timeout: float | None = None
    ) -> Deployed:
        """Stage a configuration and deploy it; ``timeout`` counts for each of the two.

        Raises:
            ConfigurationError: the controller finds it wrong; ``errors`` has every problem.
        """
        staged = await self.stage(configuration, timeout=timeout)
        if not staged.ok:
            raise ConfigurationError(staged.errors)
        return await self.deploy(now=now, timeout=timeout)

    async def abort_deployment(self, deployment: str = "") -> str:
        """Give up the deployment of this request id, or the current one if ``""``, whoever asked for it.

        Returns:
            a sentence: which deployment it was, how far it had come, and what that leaves behind.

        Raises:
            RequestFailedError: there is none, or it is too late.
        """
        request = deployments.AbortDeploymentRequest(fresh_id(), deployment)
        return results.read_text((await self.ask(request)).result)

    async def check(self, configuration: Configuration, *, timeout: float | None = None) -> Checked:
        """Have the controller validate a configuration, and its instances check it; nothing is staged or touched."""
        request = checks.ControllerCheckRequest(fresh_id(), configuration)
        response = await self.ask(request, timeout=timeout)
        return results.read_checked(response.results)

    async def get_configuration(self, *, deployed: bool = False) -> Configuration:
        """The deployed or the staged configuration.

        Raises:
            RequestFailedError: there is none.
        """
        request = api.GetConfigurationRequest(fresh_id(), deployed)
        return results.read_configuration((await self.ask(request)).result)

    async def deployer(self, config: str) -> tuple[str, float] | None:
        """Who had the configuration with this id deployed last, and when, in seconds since 1970.

        None if that is not known: the controller, which must be zeekfleet's, keeps it as long as its notifications.
        """
        answer = await self.ask(DeployerRequest(fresh_id(), config), timeout=DEPLOYER_TIMEOUT)
        return (answer.by, answer.time) if answer.by else None

    # --- what is there

    async def get_instances(self) -> tuple[Instance, ...]:
        """The connected instances, sorted by name.

        Raises:
            RequestFailedError: the controller cannot tell.
            ValueMismatchError: what it told are not instances.
        """
        request = api.GetInstancesRequest(fresh_id())
        return results.read_instances((await self.ask(request)).result)

    async def get_presence(self) -> tuple[InstancePresence, ...]:
        """Every instance that is configured or connected, with what was last heard of it, sorted by name.

        Only the controller is asked, which must be zeekfleet's.
        """
        return (await self.ask(presence.PresenceRequest(fresh_id()))).instances

    async def get_nodes(self, nodes: Collection[str] = ()) -> NodesSeen:
        """The processes of every connected instance."""
        response = await self.ask(api.GetNodesRequest(fresh_id()))
        seen = results.read_nodes(response.results)
        if not nodes:
            return seen
        rows, errors = narrow(seen.instances, seen.errors, nodes, await self.deployed_nodes(), _member)
        return NodesSeen(rows, errors, seen.malformed)

    async def wanted(self) -> Wanted:
        """What should run, and which instances are there; the controller answers all of it at once."""
        asked = presence.PresenceRequest(fresh_id())
        heard: list[presence.PresenceResponse] = []

        def watch(_: str, event: Event) -> bool:
            if isinstance(event, presence.PresenceResponse) and event.reqid == asked.reqid:
                heard.append(event)
            return False

        with self.watching(watch):
            # Its answer comes before the next one, or never: so a controller that does not know it costs no time.
            self.tell(asked)
            instances = (await self.ask(api.GetInstancesRequest(fresh_id()))).result
            try:
                configuration = await self.get_configuration(deployed=True)
            except RequestFailedError:
                configuration = Configuration()
        if heard:
            presences = {one.name: one for one in heard[-1].instances}
            connected = frozenset(name for name, one in presences.items() if one.connected)
            return Wanted(configuration, presences, connected, instances, time.time() - heard[-1].now)
        try:
            connected = frozenset(instance.name for instance in results.read_instances(instances))
        except RequestFailedError:
            connected = frozenset()
        return Wanted(configuration, None, connected, instances)

    async def status(self, nodes: Collection[str] = ()) -> Status:
        """Every node's state and history, and the nodes that should run and do not."""
        wanted = await self.wanted()
        return status_of(await self._histories(wanted), wanted, time.time(), nodes)

    async def diag(self, node: str) -> Diagnosis:
        """A node's last crash report, also of a node that is not deployed any more; ``path`` is empty if there is none.

        Raises:
            RequestFailedError: there is no such node, or its instance is out of reach.
        """
        request = details.ControllerDiagnosisRequest(fresh_id(), node)
        return read_diagnosis((await self.ask(request)).result)

    async def releases(self) -> Releases:
        """Which release every part of the fleet runs, and which Zeek every node."""
        request = releases.ControllerReleasesRequest(fresh_id())
        told = (await self.ask(request)).results
        values = await self.get_id_value(ZEEK_VERSION)
        missing = [failure for failure in values.errors if failure.error != NOTHING_DEPLOYED]
        return read_releases(told, values.values, missing)

    # --- what happened

    async def events(self, seconds: float = DAY) -> tuple[Notification, ...]:
        """What happened in the last so many seconds, the oldest first.

        These are the changes, errors and steps that agents tell, what came of deployments, and which agents connected
        and went. The controller, which must be zeekfleet's, keeps the latest, and answers with a few MiB at most.

        Raises:
            RequestFailedError: the controller cannot read its database.
        """
        result = (await self.ask(NotificationsRequest(fresh_id(), seconds))).result
        if not result.success or result.data is None:
            raise RequestFailedError(result.reqid, result.error or results.NO_REASON)
        return SECOND.codec.sequence_from_value(result.data, Notification)

    async def follow_events(self, seconds: float = 0.0) -> AsyncIterator[Notification]:
        """The same, then each event as it happens, without end; none is missed between the two, none told twice.

        Raises:
            TransportError: the connection was lost, even if there is a new one by now, or :data:`BACKLOG` events wait
                to be taken. All events before that were told.
        """
        live: deque[Notification] = deque()

        def hear(_: str, event: Event) -> bool:
            if isinstance(event, NotificationKept):
                live.append(event.notification)
                if len(live) == BACKLOG:
                    watching.end(
                        TransportError(f"{BACKLOG} events were not taken in time: those after them are missed")
                    )
            return False

        with self.watching(hear) as watching:
            kept = await self.events(seconds)
            for event in kept:
                yield event
            told = set(kept)
            while True:
                while live:
                    if (event := live.popleft()) not in told:
                        yield event
                await watching.next(DAY)

    # --- nodes at work

    async def get_id_value(
        self, identifier: str, nodes: Collection[str] = (), *, timeout: float | None = None
    ) -> IdValues:
        """The value of a global identifier in nodes."""
        names = await self.resolve(nodes)
        request = api.GetIdValueRequest(fresh_id(), identifier, names)
        response = await self.ask(request, timeout=timeout)
        return results.read_id_values(response.results, names)

    async def net_stats(self, nodes: Collection[str] = (), *, timeout: float | None = None) -> Dispatched:
        """How many packets nodes have seen and lost: a ``model.dispatches.NetworkStatistics`` each."""
        return await self.dispatch((NET_STATS,), nodes, timeout=timeout)

    async def peer_stats(self, nodes: Collection[str] = (), *, timeout: float | None = None) -> Dispatched:
        """Which other nodes nodes are connected to: a ``model.dispatches.PeerStatistics`` each."""
        return await self.dispatch((PEER_STATS,), nodes, timeout=timeout)

    async def set_option(
        self, name: str, value: str, nodes: Collection[str] = (), *, timeout: float | None = None
    ) -> Dispatched:
        """Change an option of Zeek's configuration framework: a ``model.dispatches.OptionChange`` each.

        Args:
            name: the option's, such as ``Notice::mail_dest``.
            value: its new value as text; elements of sets and vectors between commas.
            nodes: see above.
            timeout: see above.
        """
        return await self.dispatch((SET_OPTION, name, value), nodes, timeout=timeout)

    async def dispatch(
        self, action: Sequence[str], nodes: Collection[str] = (), *, timeout: float | None = None
    ) -> Dispatched:
        """Have nodes run an action of ``model.dispatches.DATA``: its name, then its arguments."""
        names = await self.resolve(nodes)
        request = dispatches.ControllerDispatchRequest(fresh_id(), tuple(action), names)
        response = await self.ask(request, timeout=timeout)
        return read_dispatched(action[0], response.results, names)

    async def restart(
        self, nodes: Collection[str] = (), *, now: bool = False, timeout: float | None = None
    ) -> Restarted:
        """Restart nodes, all at once; ``now`` as for :meth:`deploy`."""
        names = await self.resolve(nodes)
        with self._hurrying(now):
            request = api.RestartRequest(fresh_id(), names)
            response = await self.ask(request, timeout=timeout, watch=is_progress)
        return results.read_restarted(response.results, names)

    async def rolling_restart(
        self, nodes: Collection[str] = (), *, max_unavailable: int = 1, wait: float = ROLLING_WAIT, now: bool = False
    ) -> Restarted:
        """Restart nodes a few at a time; it stops at the first batch that does not come back.

        Args:
            nodes: see above.
            max_unavailable: how many may be down at a time.
            wait: seconds for each batch to run again.
            now: as for :meth:`deploy`.
        """
        names = await self.resolve(nodes)
        states: dict[str, State] = {}

        def note(_: str, event: Event) -> bool:
            if isinstance(event, NotifyChange):
                states[event.n.name] = event.new
            return False

        async def restart(batch: frozenset[str]) -> Restarted:
            states.update(dict.fromkeys(batch, State.PENDING))
            return await self.restart(batch, now=now)

        async def all_running(batch: frozenset[str]) -> frozenset[str]:
            deadline = time.monotonic() + wait
            while missing := frozenset(name for name in batch if states[name] is not State.RUNNING):
                if not await watching.next(deadline - time.monotonic()):
                    return missing
            return frozenset()

        with self.watching(note) as watching:
            seen = await self.get_nodes()
            deployed = {member.name: member.instance for member in await self.deployed_nodes()}
            return await rolling.restart(seen, sorted(names), max_unavailable, restart, all_running, deployed)

    def hurry(self, nodes: Collection[str]) -> None:
        """Have these nodes get no more than their grace if they are being stopped."""
        self.tell(stops.ControllerHurry(frozenset(nodes)))

    async def test_timeout(self, *, with_state: bool = False, timeout: float | None = None) -> Result:
        """Have the controller let a request time out; without state it never answers.

        Raises:
            RequestTimeoutError: it did not answer within ``timeout`` here.
        """
        request = api.TestTimeoutRequest(fresh_id(), with_state)
        return (await self.ask(request, timeout=timeout)).result

    # --- which nodes are meant

    async def resolve(self, nodes: Collection[str]) -> frozenset[str]:
        """The names of the nodes that are meant; what is deployed is asked only where that is needed to tell."""
        if not any(map(may_be_group, nodes)):
            return frozenset(nodes)
        return resolve(nodes, await self.deployed_nodes())

    async def deployed_nodes(self) -> tuple[Member, ...]:
        """The nodes that are deployed; none if nothing is."""
        try:
            return members_of(await self.get_configuration(deployed=True))
        except RequestFailedError:
            return ()

    async def _histories(self, wanted: Wanted) -> Histories:
        if wanted.presences is not None:
            response = await self.ask(details.ControllerStatusRequest(fresh_id()))
            return read_histories(response.results)
        # Zeek's own controller knows the nodes' states, and no histories.
        seen = await self.get_nodes()
        reports = {
            instance: tuple(
                NodeReport(one.node, one.cluster_role, one.state, 0.0, NodeDetails(one.node, "", one.pid))
                for one in statuses
                if one.cluster_role is not ClusterRole.NONE
            )
            for instance, statuses in seen.instances.items()
        }
        return Histories(reports, seen.errors)

    @contextmanager
    def _hurrying(self, now: bool) -> Iterator[None]:
        """While the body waits, hurry each node that is reported to take its time; do nothing if ``now`` is False."""
        if not now:
            yield
            return

        def hurry(_: str, event: Event) -> bool:
            if isinstance(event, stops.NotifyNodeStopping):
                self.hurry((event.node,))
            return False

        with self.watching(hurry):
            yield


def _member(instance: str, status: NodeStatus) -> Member:
    return Member(status.node, instance, status.cluster_role)
