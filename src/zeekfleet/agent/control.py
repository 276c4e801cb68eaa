"""The agent's requests to its supervisor, ``SupervisorControl`` (docs/protocol.md, section 5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from zeekfleet.broker import topics
from zeekfleet.broker.events import releases as releases_api
from zeekfleet.broker.events import supervision
from zeekfleet.broker.events import supervisor as events
from zeekfleet.broker.events.base import OutcomeResponse, Request, Response
from zeekfleet.errors import FrameTooLargeError, RequestTimeoutError, UnansweredError
from zeekfleet.lifecycle.wording import clock_text
from zeekfleet.model import ranges
from zeekfleet.model.management import TIMED_OUT, fresh_id
from zeekfleet.model.releases import PartRelease
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.supervisor import NodeConfig, NodeStatus
from zeekfleet.model.variables import MANAGEMENT_NODE
from zeekfleet.transport.bus import Bus

LONGEST_STOP = ranges.GRACE_CEILING.most + ranges.GRACE.most
"""The most seconds to wait for a stop, even if the node still works."""

AWAY_WAIT = 1.0
"""Seconds to wait for a supervisor that is away; a restarted one is back by then."""

R = TypeVar("R", bound=Response)


class SupervisorControl:
    """Sends requests to the supervisor. While the supervisor is away, they wait for it until they time out.

    Args:
        bus: the bus of the supervisor.
        timeout: the time-out of a request that stops nothing, in seconds.
        stop_timeout: the time-out of a request that stops nodes, in seconds; includes their grace.
    """

    def __init__(self, bus: Bus, timeout: float, stop_timeout: float) -> None:
        self._bus = bus
        self._timeout = timeout
        self._stop_timeout = stop_timeout
        self._connected = asyncio.Event()
        self._away_since = time.time()
        self._waits: dict[asyncio.Timeout, float] = {}

    def found(self) -> None:
        """The supervisor is connected."""
        self._connected.set()

    def lost(self) -> None:
        """The supervisor is no longer connected."""
        if self._connected.is_set():
            self._away_since = time.time()
        self._connected.clear()

    @property
    def connected(self) -> bool:
        """Whether the supervisor is connected."""
        return self._connected.is_set()

    @property
    def away_since(self) -> float | None:
        """Since when the supervisor is away, in seconds since 1970; None if it is connected."""
        return None if self.connected else self._away_since

    @property
    def away(self) -> str:
        """The error for a client while the supervisor is away."""
        now = time.time()
        return f"its supervisor is away since {clock_text(self.away_since or now, now)}"

    def reason(self, error: UnansweredError) -> str:
        """The error for a client after a request to the supervisor that was not answered."""
        return unanswered(error) if self.connected else self.away

    async def wait_until_back(self) -> bool:
        """Wait :data:`AWAY_WAIT` seconds for a supervisor that is away; returns whether it is connected."""
        try:
            async with asyncio.timeout(AWAY_WAIT):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def extending(self, deadline: asyncio.Timeout, seconds: float) -> Iterator[None]:
        """While the context lasts, extend a deadline whenever a node that is being stopped reports that it still works.

        Args:
            deadline: the deadline.
            seconds: how far from now it is moved each time.
        """
        self._waits[deadline] = seconds
        try:
            yield
        finally:
            del self._waits[deadline]

    def still_working(self) -> None:
        """A node that is being stopped still works: extend the deadlines."""
        now = asyncio.get_running_loop().time()
        for deadline, seconds in self._waits.items():
            if not deadline.expired():
                deadline.reschedule(max(deadline.when() or 0.0, now + seconds))

    def hurry(self, nodes: frozenset[str]) -> None:
        """If these nodes are being stopped, have them killed when their grace is over."""
        if nodes:
            self._bus.publish(topics.SUPERVISOR, supervision.Hurry(nodes))

    async def status(self) -> dict[str, NodeStatus]:
        """All processes of the supervisor by name, including agents and controllers.

        Raises:
            UnansweredError: the supervisor did not answer.
        """
        return (await self._ask(events.StatusRequest(fresh_id()), self._timeout)).result.nodes

    async def details(self) -> dict[str, NodeDetails]:
        """More about each process than :meth:`status` tells.

        Raises:
            UnansweredError: the supervisor did not answer, or is not zeekfleet's.
        """
        return (await self._ask(supervision.DetailsRequest(fresh_id()), self._timeout)).result

    async def releases(self) -> tuple[PartRelease, ...]:
        """The releases of the supervisor and the stem.

        Raises:
            UnansweredError: the supervisor did not answer, or is too old to know this request.
        """
        return (await self._ask(releases_api.SupervisorReleasesRequest(fresh_id()), self._timeout)).result

    async def process_of(self, name: str, config: NodeConfig | None = None) -> int | None:
        """The process id of a node that runs now.

        Args:
            name: the node's name.
            config: the configuration that the node must have been created with; None for any.

        Returns:
            The process id; None if no such process runs, or the supervisor did not answer.
        """
        try:
            status, details = (await self.status()).get(name), (await self.details()).get(name)
        except UnansweredError:
            return None
        if status is None or details is None or not details.runs or config not in (None, status.node):
            return None
        return details.pid

    async def create(self, config: NodeConfig) -> str:
        """Create a node. Returns what went wrong, or ``""``.

        Raises:
            RequestTimeoutError: the supervisor did not answer; the node may have been created or not.
        """
        try:
            return (await self._ask(events.CreateRequest(fresh_id(), config), self._timeout)).result
        except FrameTooLargeError as error:
            return str(error)

    async def destroy(self, name: str) -> bool:
        """Stop a node and forget it; returns whether that worked."""
        return await self._ask_to_stop(events.DestroyRequest(fresh_id(), name))

    async def restart(self, name: str) -> bool:
        """Stop a node and start it again; returns whether that worked."""
        return await self._ask_to_stop(events.RestartRequest(fresh_id(), name))

    async def fail(self, name: str, pid: int, signal: str) -> bool:
        """End an unresponsive process and have its revival policy decide what follows; returns whether it has ended."""
        return await self._ask_to_stop(supervision.FailRequest(fresh_id(), name, pid, signal))

    async def _ask_to_stop(self, request: Request[OutcomeResponse]) -> bool:
        """Send a request that stops nodes. Its time-out starts anew whenever a node that is being stopped still works.

        Returns:
            Whether it was done; False if the supervisor did not answer.
        """
        try:
            async with asyncio.timeout(self._stop_timeout) as deadline:
                with self.extending(deadline, self._stop_timeout):
                    return (await self._ask(request, LONGEST_STOP)).result
        except (TimeoutError, UnansweredError):
            return False

    async def _ask(self, request: Request[R], timeout: float) -> R:
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        if not self._connected.is_set():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._connected.wait()
            except TimeoutError:
                raise RequestTimeoutError(request.reqid, timeout) from None
            timeout = round(max(0.0, deadline - clock()), 1)
        return await self._bus.request(topics.SUPERVISOR, request, timeout)


def unanswered(error: UnansweredError) -> str:
    """The error for a client after an unanswered request; a time-out has the protocol's text."""
    return TIMED_OUT if isinstance(error, RequestTimeoutError) else str(error)


def cluster_nodes(status: dict[str, NodeStatus]) -> dict[str, NodeConfig]:
    """The launch configurations of the processes that are cluster nodes, by name."""
    return {name: entry.node for name, entry in status.items() if MANAGEMENT_NODE not in entry.node.env}
