"""Stores what was last heard of each instance, so that clients still see the nodes of a host that is lost.

An agent is asked for its nodes' reports when it has checked in, and a moment after each change that it reports. So when
its host is lost, clients see it as it was just before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

import msgspec

from zeekfleet.broker.events import details as api
from zeekfleet.broker.events.presence import PresenceRequest, PresenceResponse
from zeekfleet.broker.generations import FIRST, SECOND, Generation
from zeekfleet.controller.fanout import ask
from zeekfleet.controller.instances import REMEMBERED, Instances
from zeekfleet.errors import StoreError, ValueMismatchError
from zeekfleet.lifecycle.wording import clock_text
from zeekfleet.model.enums import State
from zeekfleet.model.management import TIMED_OUT, Result
from zeekfleet.model.presence import InstancePresence
from zeekfleet.model.supervision import NodeReport
from zeekfleet.store.interface import LastHeard, Store
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.service import Context, handler

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds to wait after a change before an agent is asked, because changes come in bursts."""


class Presence:
    """Records what is heard of each instance, and reports it to clients.

    Args:
        bus: the controller's bus.
        instances: knows which instances are connected.
        store: where it is stored, so that it outlives this process.
        request_timeout: how many seconds an agent has to send its reports.
        clock: the time, in seconds since 1970.
        insecure: whether hosts without a certificate are served. Clients are told this.
    """

    def __init__(
        self,
        bus: Bus,
        instances: Instances,
        store: Store,
        request_timeout: float,
        clock: Callable[[], float] = time.time,
        *,
        insecure: bool = False,
    ) -> None:
        self._bus = bus
        self._instances = instances
        self._store = store
        self._timeout = request_timeout
        self._clock = clock
        self._insecure = insecure
        self._heard: dict[str, LastHeard] = {}
        self._silent: dict[str, float] = {}
        self._away: dict[str, float] = {}
        self._away_told_by: dict[str, int] = {}
        self._to_ask: set[str] = set()
        self._to_keep: set[str] = set()
        self._changed = asyncio.Event()
        self._is_failing = False

    # --- what happens

    def came(self, name: str) -> None:
        """An instance has checked in."""
        self._note(name, gone_since=None)
        self._ask_soon(name)

    def went(self, name: str) -> None:
        """An instance has disconnected."""
        now = self._clock()
        self._note(name, gone_since=now)
        self._away.pop(name, None)
        self._away_told_by.pop(name, None)
        self._keep_soon(name)

    def heard(self, name: str) -> None:
        """An instance's agent has sent something."""
        if name in self._instances.known:
            self._note(name, gone_since=None)

    def changed(self, name: str) -> None:
        """The state of one of an instance's nodes has changed."""
        if name in self._instances.known:
            self._ask_soon(name)

    def supervisor(self, name: str, away_since: float | None, peer: int) -> None:
        """An instance's agent has lost its supervisor, or has found it again.

        Args:
            name: the instance.
            away_since: since when the supervisor is away, in seconds since 1970; None if it is back.
            peer: the number of the connection on which the agent reported this.
        """
        if away_since is None:
            self._away.pop(name, None)
            self._away_told_by.pop(name, None)
        elif name in self._away or len(self._away) < REMEMBERED:
            self._away[name], self._away_told_by[name] = away_since, peer
            self._note(name)

    def disconnected(self, peer: int) -> None:
        """A connection has ended. Its agent may not have said hello, because an agent without supervisor does not."""
        for name in [name for name, told_by in self._away_told_by.items() if told_by == peer]:
            del self._away[name], self._away_told_by[name]
            if name not in self._instances.known:
                self._note(name, gone_since=self._clock())
                self._keep_soon(name)

    def silent(self, name: str) -> None:
        """An instance's agent has not answered in time."""
        self._silent.setdefault(name, self._clock())

    def is_silent(self, name: str) -> bool:
        """Whether an instance's agent has not answered a request, and has sent nothing since."""
        return name in self._silent

    def why_silent(self, name: str) -> str:
        """Why an instance has not answered, as far as is known, such as ``gone since 14:03``."""
        known = self._instances.presence(name)
        if (since := self._away.get(name)) is not None:
            return f"its supervisor is away since {clock_text(since, self._clock())}"
        return f"{known}, but its agent does not answer" if name in self._instances.known else known

    def answered(self, results: Iterable[Result]) -> None:
        """Record the reports in agents' results."""
        for result in results:
            if result.instance not in self._instances.known or not result.success or result.data is None:
                continue
            try:
                reports = SECOND.codec.sequence_from_value(result.data, NodeReport)
            except ValueMismatchError as error:
                logger.debug("instance %s sent no reports: %s", result.instance, error)
                continue
            name = result.instance
            before, reports = self._heard.get(name), self._with_what_was_known(name, reports)
            self._note(name, reported_at=self._clock(), reports=reports)
            if before is None or before.reports != reports:  # clients ask often, and mostly nothing has changed
                self._keep_soon(name)

    def _with_what_was_known(self, name: str, reports: tuple[NodeReport, ...]) -> tuple[NodeReport, ...]:
        """The reports. While the agent's supervisor is away, nodes of which it knows nothing keep their earlier one."""
        before = {report.node: report for report in self._heard[name].reports} if name in self._heard else {}
        return tuple(
            before.get(report.node, report) if report.state is State.UNKNOWN and report.details is None else report
            for report in reports
        )

    # --- what is known

    def all(self) -> tuple[InstancePresence, ...]:
        """Every instance that is configured or connected, sorted by name."""
        names = self._instances.configured.keys() | self._instances.known.keys() | self._away.keys()
        return tuple(self._one(name) for name in sorted(names))

    @handler
    def tell(self, request: PresenceRequest, context: Context) -> PresenceResponse:
        """Return everything that is known, without asking agents."""
        return PresenceResponse(request.reqid, self._clock(), self.all(), self._insecure)

    def _one(self, name: str) -> InstancePresence:
        heard = self._heard.get(name)
        return InstancePresence(
            name=name,
            configured=name in self._instances.configured,
            connected=name in self._instances.known,
            heard_at=heard.heard_at if heard else None,
            gone_since=heard.gone_since if heard else None,
            silent_since=self._silent.get(name),
            supervisor_away_since=self._away.get(name),
            reported_at=heard.reported_at if heard else None,
            reports=heard.reports if heard else (),
        )

    # --- asking agents, and keeping what they answer

    async def load(self) -> None:
        """Read what an earlier controller process has stored."""
        try:
            remembered = await asyncio.to_thread(self._store.remembered)
        except StoreError as error:
            logger.error("what was last heard of instances is not known: %s", error, extra={"error": str(error)})
            return
        self._heard = {heard.instance: heard for heard in remembered} | self._heard
        self._instances.recall({heard.instance: heard.gone_since or heard.heard_at for heard in remembered})

    async def run(self) -> None:
        """Ask agents and store what they answer, until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(PAUSE)
            self._changed.clear()
            names, self._to_ask = self._to_ask & self._instances.known.keys(), set()
            await self._ask(names)
            await self._keep()

    async def _ask(self, names: set[str]) -> None:
        agents = [(name, self._instances.known[name]) for name in sorted(names)]
        for answer in await ask(self._bus, agents, status_request, self._timeout):
            if isinstance(answer.response, api.AgentStatusResponse):
                self.answered([msgspec.structs.replace(answer.response.result, instance=answer.instance)])
            elif answer.error == TIMED_OUT:
                self.silent(answer.instance)

    async def _keep(self) -> None:
        names, self._to_keep = self._to_keep, set()
        kept = [self._heard[name] for name in sorted(names) if name in self._heard]
        try:
            await asyncio.to_thread(self._store.remember, kept)
        except StoreError as error:
            if not self._is_failing:  # log this only once: on a full disk, more lines would take the last room
                logger.error("what was last heard of instances is not kept: %s", error, extra={"error": str(error)})
            self._is_failing = True
        else:
            self._is_failing = False

    def _note(self, name: str, **changes: object) -> None:
        now = self._clock()
        self._silent.pop(name, None)
        known = self._heard.get(name)
        if known is None:
            if len(self._heard) >= REMEMBERED:
                del self._heard[min(self._heard, key=lambda one: self._heard[one].heard_at)]
            known = LastHeard(name, now)
        self._heard[name] = msgspec.structs.replace(known, heard_at=now, **changes)

    def _ask_soon(self, name: str) -> None:
        self._to_ask.add(name)
        self._keep_soon(name)

    def _keep_soon(self, name: str) -> None:
        self._to_keep.add(name)
        self._changed.set()


def status_request(fresh: str, generation: Generation) -> api.AgentStatusRequest | None:
    """The request for an agent's reports; None for an agent of the first generation, which has no such request."""
    return None if generation is FIRST else api.AgentStatusRequest(fresh)
