"""The agent's side of ``SupervisorControl`` (docs/protocol.md, section 5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
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
from zeekfleet.model.management import fresh_id
from zeekfleet.model.releases import PartRelease
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.supervisor import NodeConfig, NodeStatus
from zeekfleet.model.variables import MANAGEMENT_NODE
from zeekfleet.transport.bus import Bus

LONGEST_STOP = ranges.GRACE_CEILING.most + ranges.GRACE.most
"""Seconds to wait for a stop at most, whatever the node does meanwhile."""

AWAY_PATIENCE = 1.0
"""Seconds that a request waits for a supervisor that is away: one that is being restarted is back by then."""

TIMED_OUT = "request timed out"

R = TypeVar("R", bound=Response)


class SupervisorControl:
    """Requests to the supervisor; while it is away they wait for it, each within its time-out.

    Args:
        bus: connected, or connecting, to the supervisor.
        timeout: seconds for a request that stops nothing.
        stop_timeout: seconds for one that stops nodes, their grace included.
    """

    def __init__(self, bus: Bus, timeout: float, stop_timeout: float) -> None:
        self._bus = bus
        self._timeout = timeout
        self._stop_timeout = stop_timeout
        self._connected = asyncio.Event()
        self._away_since = time.time()
        self._waits: dict[asyncio.Timeout, float] = {}

    def found(self) -> None:
        """The supervisor hears us."""
        self._connected.set()

    def lost(self) -> None:
        """The supervisor hears us no longer: what is published now goes nowhere."""
        if self._connected.is_set():
            self._away_since = time.time()
        self._connected.clear()

    @property
    def connected(self) -> bool:
        """Whether the supervisor hears us."""
        return self._connected.is_set()

    @property
    def away_since(self) -> float | None:
        """When the supervisor was lost, or this began, in seconds since 1970; None if it hears us."""
        return None if self.connected else self._away_since

    @property
    def away(self) -> str:
        """That the supervisor is away, for a client."""
        now = time.time()
        return f"its supervisor is away since {clock_text(self.away_since or now, now)}"

    def reason(self, error: UnansweredError) -> str:
        """Why the supervisor does not answer, for a client."""
        return unanswered(error) if self.connected else self.away

    async def returns(self) -> bool:
        """Wait a moment for a supervisor that is away; whether it hears us."""
        try:
            async with asyncio.timeout(AWAY_PATIENCE):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    @property
    def deadlines(self) -> Collection[asyncio.Timeout]:
        """Those that signs of work move."""
        return self._waits.keys()

    @contextmanager
    def extending(self, deadline: asyncio.Timeout, seconds: float) -> Iterator[None]:
        """Move a deadline to so many seconds from each sign that a node which is being stopped still works."""
        self._waits[deadline] = seconds
        try:
            yield
        finally:
            del self._waits[deadline]

    def still_working(self) -> None:
        """A node that is being stopped still works."""
        now = asyncio.get_running_loop().time()
        for deadline, seconds in self._waits.items():
            if not deadline.expired():
                deadline.reschedule(max(deadline.when() or 0.0, now + seconds))

    def hurry(self, nodes: frozenset[str]) -> None:
        """Have these nodes get no more than their grace, if they are being stopped."""
        if nodes:
            self._bus.publish(topics.SUPERVISOR, supervision.Hurry(nodes))

    async def status(self) -> dict[str, NodeStatus]:
        """All processes under the supervisor, by name, the management's own included.

        Raises:
            UnansweredError: the supervisor did not answer.
        """
        return (await self._ask(events.StatusRequest(fresh_id()), self._timeout)).result.nodes

    async def details(self) -> dict[str, NodeDetails]:
        """What the supervisor knows of each process beyond the protocol.

        Raises:
            UnansweredError: the supervisor did not answer, or is not zeekfleet's.
        """
        return (await self._ask(supervision.DetailsRequest(fresh_id()), self._timeout)).result

    async def releases(self) -> tuple[PartRelease, ...]:
        """Which zeekfleet supervisor and stem run.

        Raises:
            UnansweredError: the supervisor did not answer, or does not tell.
        """
        return (await self._ask(releases_api.SupervisorReleasesRequest(fresh_id()), self._timeout)).result

    async def process_of(self, name: str, config: NodeConfig | None = None) -> int | None:
        """The process of a node that runs now.

        Args:
            name: the node's.
            config: what it must have been created with; anything, if left out.

        Returns:
            Its process id; None if no such process runs, or the supervisor does not tell.
        """
        try:
            status, details = (await self.status()).get(name), (await self.details()).get(name)
        except UnansweredError:
            return None
        if status is None or details is None or not details.runs or config not in (None, status.node):
            return None
        return details.pid

    async def create(self, config: NodeConfig) -> str:
        """Create a node; the text of what went wrong, or ``""``.

        Raises:
            RequestTimeoutError: the supervisor did not answer: the node may be there or not.
        """
        try:
            return (await self._ask(events.CreateRequest(fresh_id(), config), self._timeout)).result
        except FrameTooLargeError as error:
            return str(error)

    async def destroy(self, name: str) -> bool:
        """Stop and forget a node; whether that worked."""
        return await self._ask_to_stop(events.DestroyRequest(fresh_id(), name))

    async def restart(self, name: str) -> bool:
        """Stop a node and start it; whether that worked."""
        return await self._ask_to_stop(events.RestartRequest(fresh_id(), name))

    async def fail(self, name: str, pid: int, signal: str) -> bool:
        """End a process that is as good as dead, and have its revival policy decide; whether it is gone."""
        return await self._ask_to_stop(supervision.FailRequest(fresh_id(), name, pid, signal))

    async def _ask_to_stop(self, request: Request[OutcomeResponse]) -> bool:
        """As ``_ask``, with the time-out counted from the last sign of work of a node that is being stopped.

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
    """Why a request to the supervisor has no response; one that is only late is told as the protocol has it."""
    return TIMED_OUT if isinstance(error, RequestTimeoutError) else str(error)


def cluster_nodes(status: dict[str, NodeStatus]) -> dict[str, NodeConfig]:
    """The cluster's nodes among all processes, as they were launched."""
    return {name: entry.node for name, entry in status.items() if MANAGEMENT_NODE not in entry.node.env}
