"""What an agent and a controller with certificates say about these: the agent's is renewed, and some are revoked."""

from __future__ import annotations

from typing import Final

from zeekfleet.broker import topics
from zeekfleet.broker.events.certificates import RenewalRequest
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.management import fresh_id
from zeekfleet.model.texts import shown
from zeekfleet.security.identity import PeerRole
from zeekfleet.transport.bus import Bus, Peer
from zeekfleet.waiting import Signal

ANSWER: Final = 60.0
"""Seconds that a controller has to renew a certificate."""


class Certificates:
    """Talks to the controllers that have shown a certificate.

    Args:
        bus: the agent's.
        instance: the agent's name.
    """

    def __init__(self, bus: Bus, instance: str) -> None:
        self._bus = bus
        self._instance = instance
        self._controllers: dict[int, Peer] = {}
        self._revoked = ""
        self._changed = Signal()

    def found(self, peer: Peer) -> None:
        """A controller has connected, or was connected to."""
        if _has_shown_a_certificate(peer):
            self._controllers[peer.id] = peer
            self._changed.notify()

    def lost(self, peer: Peer) -> None:
        """A connection is gone."""
        self._controllers.pop(peer.id, None)

    def told(self, revoked: str, peer: Peer) -> None:
        """A controller has told who is revoked."""
        if _has_shown_a_certificate(peer):
            self._revoked = revoked
            self._changed.notify()

    async def renew(self, certificate: str) -> str:
        """Have a certificate renewed; this waits until there is a controller that may be asked.

        Args:
            certificate: as PEM.

        Returns:
            the new one, as PEM.

        Raises:
            UnansweredError: there is no answer, as from a controller of an earlier release.
            RequestFailedError: it is refused.
        """
        while not self._controllers:
            await self._changed.next()
        controller = next(reversed(self._controllers.values()))
        request = RenewalRequest(fresh_id(), self._instance, certificate)
        answer = await self._bus.request(topics.agent(self._instance), request, ANSWER, to=controller)
        if answer.error:
            raise RequestFailedError(request.reqid, f"controller {controller} refuses: {shown(answer.error)}")
        return answer.certificate

    async def revoked(self) -> str:
        """The list of revoked certificates, as PEM, once a controller has told one that was not returned before."""
        while not self._revoked:
            await self._changed.next()
        revoked, self._revoked = self._revoked, ""
        return revoked


def _has_shown_a_certificate(peer: Peer) -> bool:
    return peer.identity is not None and peer.identity.role is PeerRole.CONTROLLER
