"""The interface for the connections of a bus that needs them: listening and dialling.

It makes almost no difference which side dials. But only the dialling side sends its subscriptions, and so receives only
what matches them. It sends everything that it publishes, unless ``publish`` limits that when it dials.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Container, Sequence

import msgspec

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.topics import EVERYTHING
from zeekfleet.model.enums import Role
from zeekfleet.model.management import Instance
from zeekfleet.security import permissions
from zeekfleet.security.access import AccessControl
from zeekfleet.security.identity import Identity
from zeekfleet.security.permissions import Actor, Permissions
from zeekfleet.transport.bus import Bus, Peer
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.metrics import TransportMetrics

Refused = Callable[[Peer, Event, str], None]
"""Called when a peer was not allowed to publish something: with the peer, the event, and the reason as a sentence."""


READERS = frozenset({permissions.Role.VIEWER, permissions.Role.OPERATOR})
"""Clients that may not deploy."""

Certified = Callable[[Identity | None], tuple[Actor, ...]]
"""What the owner of a certificate is taken for. Without identity, the certificate names no role of this fleet."""


class CertificateOwner(msgspec.Struct, frozen=True):
    """The owner of a certificate that a peer has shown, and that the listener's authorities have signed.

    Attributes:
        identity: the role and name in it; None if it has none.
        serial: its serial number.
    """

    identity: Identity | None
    serial: int | None = None


class ListenerPolicy(msgspec.Struct, frozen=True):
    """What the peers of a listener are, and so what they may say and hear (``security/permissions.py``).

    Attributes:
        role: what whoever connects here is taken for.
        actors: what a peer without certificate is taken for. If this is left out, all may say and hear everything.
        certified: what a peer with a certificate is taken for, given whose it is; nothing if it is not served here.
        applicants: what a peer is taken for that could have shown a certificate and has shown none. It is served for a
            few seconds and with small frames; nothing if it is not served here.
        instance: the instance of the agent that listens.
        is_named: whether the name that a peer tells when it connects is the one for which it speaks.
        refused: called with what a peer was not allowed to say.
    """

    role: Role = Role.NONE
    actors: tuple[Actor, ...] = ()
    certified: Certified = lambda identity: ()
    applicants: tuple[Actor, ...] = ()
    instance: str = ""
    is_named: bool = False
    refused: Refused | None = None

    def sends_large_frames(self, owner: CertificateOwner) -> bool:
        """Whether the owner of a certificate may have large things to say, such as configurations."""
        return not self.actors or any(actor.role not in READERS for actor in self.certified(owner.identity))

    def serves(self, owner: CertificateOwner) -> bool:
        """Whether the owner of a certificate is served."""
        return not self.actors or bool(self.certified(owner.identity))

    def permissions(self, name: str, owner: CertificateOwner | None = None) -> Permissions | None:
        """What a peer may say and hear; None for everything.

        Args:
            name: what it calls itself.
            owner: whose certificate it has shown; None if it has shown none.
        """
        if owner is not None:
            return Permissions(self.certified(owner.identity), instance=self.instance) if self.actors else None
        if not self.actors:
            return None
        named = (msgspec.structs.replace(actor, name=name) for actor in self.actors)
        return Permissions(named if self.is_named else self.actors, instance=self.instance)


def permissions_of_dialled(role: Role) -> Permissions | None:
    """What a peer that we have dialled may say, by what it is; None for everything."""
    match role:
        case Role.AGENT:
            return Permissions((Actor(permissions.Role.AGENT),))
        case Role.CONTROLLER:
            return Permissions((Actor(permissions.Role.CONTROLLER),))
        case Role.NODE:
            return Permissions((Actor(permissions.Role.NODE),), relays=True)
    return None


class Connections(abc.ABC):
    """Listens and dials."""

    @abc.abstractmethod
    async def listen(
        self,
        host: str,
        port: int,
        *,
        policy: ListenerPolicy | None = None,
        tls: ServerTls | None = None,
        access: AccessControl | None = None,
    ) -> int:
        """Accept connections at an address; may be called several times.

        Args:
            host: an address, or ``unix:PATH`` (mode 0600, any path length).
            port: the port; 0 for any free one.
            policy: what peers that connect here may do; by default everything.
            tls: how peers are encrypted, None for plain text.
            access: decides which peers are served; by default all are. If ``tls`` requires certificates, these decide
                about whoever comes with TLS.

        Returns:
            The port that was bound (0 for ``unix:``).

        Raises:
            ListenError: the address cannot be bound.
        """

    @abc.abstractmethod
    def dial(
        self,
        host: str,
        port: int,
        *,
        publish: Sequence[str] = EVERYTHING,
        tls: ClientTls | None = None,
        role: Role = Role.NONE,
        instance: Instance | None = None,
        label: str = "",
    ) -> None:
        """Connect, and connect again whenever the connection is lost, until :meth:`hang_up`.

        The delays between attempts grow exponentially, with jitter. ``PeerAdded`` reports success.

        Args:
            host: an address, a name, or ``unix:PATH``.
            port: the other side's port.
            publish: send only what is published on topics with one of these prefixes
                (second-generation names; the first generation's twins are included).
            tls: how the connection is encrypted and whose certificate the peer must have; None for plain text.
            role: the role of the program there. It may publish only what such a program publishes; ``NONE``: anything.
            instance: the instance whose agent is there; the peer has it as ``dialled_for``.
            label: a name for the program there, for the log. If it is given, it is logged when the program cannot be
                reached, and when it can be reached again.
        """

    @abc.abstractmethod
    def hang_up(self, host: str, port: int) -> None:
        """Stop dialling an address and close its connection. Unknown addresses are ignored."""

    @abc.abstractmethod
    def probe(self, peer: Peer, timeout: float) -> None:
        """Close a connection soon if its peer does not respond. Unknown peers are ignored.

        Args:
            peer: the peer at the connection.
            timeout: how many seconds it has to respond.
        """

    @abc.abstractmethod
    def recheck(self, revoked: Container[int] | None = None) -> None:
        """Close connections whose other side has shown a certificate, so that it shows it again.

        Args:
            revoked: the serial numbers of the certificates that matter; None: all.
        """

    @abc.abstractmethod
    def peers(self) -> tuple[Peer, ...]:
        """The connections that are ready."""


class ConnectedBus(Bus, Connections):
    """A bus with connections of its own: it can also listen and dial.

    If this program and another have dialled each other, an event still crosses only one of the two connections.

    Attributes:
        metrics: its counters.
    """

    metrics: TransportMetrics
