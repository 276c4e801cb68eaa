"""Keeps one connection to a peer that we dial, as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from zeekfleet.broker.session import GOING_AWAY, ClientSession
from zeekfleet.errors import NotObeyedError, TransportError
from zeekfleet.transport.deadline import until
from zeekfleet.transport.exchange import dial
from zeekfleet.transport.link import Link
from zeekfleet.transport.router import Router
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.waiting import Backoff

logger = logging.getLogger(__name__)


class Dialler:
    """Connects, and connects again.

    The pauses between attempts grow until a connection has lasted for a while.

    Args:
        router: the bus's router.
        settings: has the delays between attempts.
        address: the address that we dial, for the log.
        connect: makes a connection and upgrades it.
        role: a name for the program there. If it is given, it is logged when the program cannot be reached, and when
            it can be reached again.
    """

    def __init__(
        self,
        router: Router,
        settings: TransportSettings,
        address: str,
        connect: Callable[[], Awaitable[Link]],
        role: str = "",
    ) -> None:
        self._router = router
        self._settings = settings
        self._address = address
        self._connect = connect
        self._role = role
        self._is_told = self._has_met_stranger = False
        self._link: Link | None = None
        self._subscriptions: tuple[str, ...] = ()
        self._backoff = Backoff(settings.backoff_first, settings.backoff_cap)
        self._task: asyncio.Task[None] | None = None
        self._was_up = False
        self._stopped = False

    async def run(self) -> None:
        """Keep the connection until :meth:`stop`."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        while not self._stopped:
            started = loop.time()
            renewed = await self._attempt(started + self._settings.handshake_timeout)
            if renewed:
                continue
            lasted = loop.time() - started
            if self._was_up and lasted > self._settings.backoff_cap:
                self._backoff.reset()
            if not self._stopped:
                await asyncio.sleep(self._backoff.next())

    async def stop(self, reason: str) -> None:
        """Close the connection and end :meth:`run`."""
        self._stopped = True
        if self._link is not None:
            self._link.reason = self._link.reason or reason
            await self._link.close(GOING_AWAY, reason)
        elif self._task is not None:
            self._task.cancel()

    async def renew(self) -> None:
        """Make the connection anew if our subscriptions have changed since it was made."""
        link = self._link
        if link is not None and self._subscriptions != self._router.subscriptions:
            link.reason = "subscriptions changed"
            await link.close(GOING_AWAY, link.reason)

    async def _attempt(self, deadline: float) -> bool:
        """Make one connection and run it. Returns whether it ended because it must be made anew at once."""
        self._was_up = False
        self._router.metrics.connection_attempts += 1
        try:
            async with until(deadline):
                link = await self._connect()
        except (OSError, TransportError) as error:
            if isinstance(error, NotObeyedError) and not self._has_met_stranger:
                self._is_told, self._has_met_stranger = False, True
            self._failed("cannot connect to", str(error) or type(error).__name__)
            return False
        self._link = link
        self._subscriptions = self._router.subscriptions
        session = ClientSession(self._subscriptions)
        try:
            await dial(self._router, link, session, deadline, self._succeeded)
        finally:
            self._link = None
            self._was_up = session.ready
            if not session.ready:
                self._failed("no handshake with", link.reason)
        return self._subscriptions != self._router.subscriptions

    def _failed(self, what: str, reason: str) -> None:
        """Log a failure. Of several in a row, only the first is logged above the debug level."""
        level = logging.DEBUG
        facts: dict[str, object] = {"address": self._address, "error": reason}
        if not self._is_told and not self._stopped:
            level = logging.WARNING if self._role else logging.INFO
            facts |= {"kind": "connection"} if self._role else {}
            self._is_told = True
        goes_on = "; it is tried again until it can be reached" if level is logging.WARNING else ""
        logger.log(level, "%s %s: %s%s", what, self._whom, reason, goes_on, extra=facts)

    def _succeeded(self) -> None:
        if self._is_told:
            facts = {"address": self._address} | ({"kind": "connection"} if self._role else {})
            logger.info("connected to %s", self._whom, extra=facts)
        self._is_told = self._has_met_stranger = False

    @property
    def _whom(self) -> str:
        return f"{self._role} {self._address}" if self._role else self._address
