"""Gives agents certificates (the first for a token, later ones for the present one) and lists of revoked certificates.

The authority is behind an interface (:class:`Signer`), because it may be on this host or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

from zeekfleet.broker import topics
from zeekfleet.broker.events.certificates import (
    AuthorityRequest,
    AuthorityResponse,
    JoinRequest,
    JoinResponse,
    RenewalRequest,
    RenewalResponse,
    RevokedCertificates,
)
from zeekfleet.errors import JoinRefusedError, ZeekfleetError
from zeekfleet.model.texts import shown
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.security.reports import Reports
from zeekfleet.transport.admission import Admission
from zeekfleet.transport.bus import Bus, Delivery, Peer
from zeekfleet.transport.connection_limits import peer_of
from zeekfleet.transport.rates import Rate
from zeekfleet.transport.service import Context, handler

logger = logging.getLogger(__name__)

NOBODY_SIGNS = "this controller has no authority: make certificates where that is, with 'zeekfleet pki'"

CANNOT = "the authority cannot make the certificate: the controller's log says why"

TOO_OFTEN = "this address has failed too often: try again in a minute"

ATTEMPTS_PER_SECOND = 0.1
ATTEMPTS_AT_ONCE = 10
"""How often one address may fail to join."""

RENEWALS_PER_SECOND = 1 / 600
RENEWALS_AT_ONCE = 10
"""How often one agent may have its certificate renewed: each renewal leaves a record."""

RENEWALS_MAX = 64
"""The most agents whose certificates are renewed at the same time."""

REMEMBERED_MAX = 10_000
"""The most addresses, or agents, whose attempts are counted. If there are more, all counts begin anew."""

AT_A_TIME = 4
"""The most certificates that are made at the same time."""

LONGEST_REQUEST = 8192
"""The most characters of a request for a certificate, or of a certificate."""


class Signer(Protocol):
    """An authority."""

    async def authority(self) -> str:
        """Its certificate, as PEM.

        Raises:
            ZeekfleetError: it cannot be read.
        """
        ...

    async def join(
        self, name: str, secret: str, request: str, address: str, is_taken: Callable[[], bool]
    ) -> tuple[str, str]:
        """The certificate for a token, and the list of revoked ones, as PEM.

        Args:
            name: the agent's name.
            secret: the secret of its token.
            request: the request for the certificate, as PEM.
            address: the agent's address.
            is_taken: returns whether an agent with this name is connected.

        Raises:
            JoinRefusedError: the token is not accepted.
            ZeekfleetError: the certificate cannot be made.
        """
        ...

    async def renew(self, owner: Identity, certificate: str) -> str:
        """A certificate for the same owner, hosts and key, as PEM.

        Args:
            owner: the owner that the certificate must have.
            certificate: the present one, as PEM.

        Raises:
            ZeekfleetError: it cannot be made.
        """
        ...


class Certificates:
    """Answers agents that ask for certificates, and sends them the list of revoked ones.

    Args:
        bus: the controller's bus.
        signer: the authority; None if there is none here.
        revoked: gives the list of revoked certificates as PEM, ``""`` if there is none.
        is_connected: whether an agent of this name is connected.
        tasks: where certificates are renewed.
    """

    def __init__(
        self,
        bus: Bus,
        signer: Signer | None,
        revoked: Callable[[], str],
        is_connected: Callable[[str], bool],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._bus = bus
        self._signer = signer
        self._revoked = revoked
        self._is_connected = is_connected
        self._tasks = tasks
        self._attempts: dict[Hashable, Rate] = {}
        self._renewals: dict[Hashable, Rate] = {}
        self._admission = Admission(RENEWALS_MAX, 1, "renewals of certificates")
        self._reports = Reports()
        self._turns = asyncio.Semaphore(AT_A_TIME)

    @handler
    async def authority(self, request: AuthorityRequest, context: Context) -> AuthorityResponse:
        """Send the certificate of our authority to a peer that wants to join."""
        if self._signer is None:
            return AuthorityResponse(request.reqid, "", NOBODY_SIGNS)
        try:
            return AuthorityResponse(request.reqid, await self._signer.authority())
        except ZeekfleetError as error:
            logger.warning("the authority's certificate cannot be told: %s", error, extra={"error": str(error)})
            return AuthorityResponse(request.reqid, "", CANNOT)

    @handler
    async def join(self, request: JoinRequest, context: Context) -> JoinResponse:
        """Give an agent its certificate for a token."""
        host, name = context.peer.host, request.name
        try:
            certificate, revoked = await self._joined(request, host)
        except ZeekfleetError as error:
            answer = error.answer if isinstance(error, JoinRefusedError) else CANNOT
            key = "join", peer_of(None, host), str(error)
            text = f"an agent at {host} may not join as '{shown(name, 80)}': {error}"
            self._report(key, text, name[:80], host, str(error))
            return JoinResponse(request.reqid, "", "", answer)
        facts = {"kind": "connection", "instance": name, "address": host}
        logger.info("agent '%s' at %s has got its certificate for a token", name, host, extra=facts)
        return JoinResponse(request.reqid, certificate, revoked)

    async def hear(self, delivery: Delivery) -> None:
        """Answer an agent that wants its certificate renewed."""
        request, peer = delivery.event, delivery.peer
        if not isinstance(request, RenewalRequest):
            return
        if await self._admission.admit(peer.id):
            self._tasks.create_task(self._renew_in_turn(request, delivery))
        else:
            self._bus.reply(delivery, RenewalResponse(request.reqid, "", self._admission.problem), to=peer)

    async def _renew_in_turn(self, request: RenewalRequest, delivery: Delivery) -> None:
        peer, certificate, error = delivery.peer, "", ""
        try:
            certificate = await self._renewed(request, peer)
        except ZeekfleetError as problem:
            error = str(problem)
            key = "renewal", peer_of(peer.uid, peer.host), request.instance
            text = f"the certificate of agent '{shown(request.instance)}' at {peer.place} is not renewed: {error}"
            self._report(key, text, request.instance, peer.host, error)
        except Exception:  # one request must not end the controller
            logger.exception("renewing the certificate of agent '%s' failed", shown(request.instance))
            error = CANNOT
        finally:
            self._admission.release(peer.id)
        self._bus.reply(delivery, RenewalResponse(request.reqid, certificate, error), to=peer)

    def tell(self, peers: Iterable[Peer]) -> None:
        """Send the list of revoked certificates to agents that have connected with a certificate."""
        revoked = self._revoked()
        for peer in peers if revoked else ():
            if peer.identity is not None and peer.identity.role is PeerRole.AGENT:
                self._bus.publish(topics.agent(peer.identity.name), RevokedCertificates(revoked), to=peer)

    async def _joined(self, request: JoinRequest, host: str) -> tuple[str, str]:
        attempts = _rate(self._attempts, peer_of(None, host), ATTEMPTS_PER_SECOND, ATTEMPTS_AT_ONCE)
        if self._signer is None:
            raise JoinRefusedError("there is no authority on this host", NOBODY_SIGNS)
        if not attempts.take():
            raise JoinRefusedError("this address has failed too often", TOO_OFTEN)
        if len(request.request) > LONGEST_REQUEST:
            raise JoinRefusedError("its request for a certificate is too large")
        async with self._turns:
            made = await self._signer.join(
                request.name, request.secret, request.request, host, lambda: self._is_connected(request.name)
            )
        attempts.give_back()
        return made

    async def _renewed(self, request: RenewalRequest, peer: Peer) -> str:
        owner = Identity(PeerRole.AGENT, request.instance)
        if peer.identity != owner:
            raise JoinRefusedError("it has not connected with its certificate")
        if self._signer is None:
            raise JoinRefusedError(NOBODY_SIGNS)
        if len(request.certificate) > LONGEST_REQUEST:
            raise JoinRefusedError("its certificate is too large")
        if not _rate(self._renewals, owner, RENEWALS_PER_SECOND, RENEWALS_AT_ONCE).take():
            raise JoinRefusedError("it was renewed too often")
        async with self._turns:
            certificate = await self._signer.renew(owner, request.certificate)
        facts = {"instance": owner.name, "address": peer.host}
        logger.info("renewed the certificate of agent '%s'", owner.name, extra=facts)
        return certificate

    def _report(self, key: Hashable, text: str, name: str, host: str, reason: str) -> None:
        if line := self._reports.line(key, lambda: text):
            facts = {"kind": "connection", "instance": name, "address": host, "error": reason}
            logger.warning("%s", line, extra=facts)


def _rate(rates: dict[Hashable, Rate], key: Hashable, per_second: float, burst: float) -> Rate:
    """How often something may still happen, by whom it concerns."""
    if key not in rates:
        if len(rates) >= REMEMBERED_MAX:
            rates.clear()
        rates[key] = Rate(per_second, burst)
    return rates[key]
