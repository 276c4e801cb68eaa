"""Builds the buses of the daemons, and decides the roles of peers at each listener (``security/permissions.py``)."""

from __future__ import annotations

from pathlib import Path

from zeekfleet.model.enums import Role
from zeekfleet.model.names import SUPERVISOR_SOCKET
from zeekfleet.security import permissions
from zeekfleet.security.access import AccessControl
from zeekfleet.security.identity import CLIENT_ROLES, Identity, PeerRole
from zeekfleet.security.permissions import Actor
from zeekfleet.settings import CommonSettings
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Certified, ConnectedBus, ListenerPolicy, Refused
from zeekfleet.transport.opening import DialledBus
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

LONGEST_LOCAL_PAUSE = 0.5
"""The most seconds between two attempts to connect to this host's supervisor. Short, as only two processes connect."""

ADMIN = Actor(permissions.Role.ADMIN)
"""The actor for clients without a certificate: every user of this host that is served may do everything."""

NODES = ListenerPolicy(Role.NODE, (Actor(permissions.Role.NODE),), is_named=True)
"""Every program that connects to the agent's socket counts as a node, whichever user it runs as."""

SUPERVISOR = ListenerPolicy(actors=(Actor(permissions.Role.SUPERVISOR_CLIENT),))
"""A process that may connect to the supervisor may send it any request."""


def clients_policy(name: str, unnamed: str, refused: Refused | None = None) -> ListenerPolicy:
    """The policy of the controller's port for clients.

    Args:
        name: the controller's name. A client with the controller's own certificate is an admin: its owner can do
            everything anyway.
        unnamed: the role of a client whose certificate names no role; ``none`` to refuse it.
        refused: called with what a client was not allowed to publish.
    """

    def certified(identity: Identity | None) -> tuple[Actor, ...]:
        if identity is None:
            return () if unnamed == "none" else (Actor(permissions.Role(unnamed)),)
        if identity == Identity(PeerRole.CONTROLLER, name):
            return (ADMIN,)
        return (_actor(identity),) if identity.role in CLIENT_ROLES else ()

    return ListenerPolicy(actors=(ADMIN,), certified=certified, refused=refused)


def agents_policy(*, and_clients: bool, and_applicants: bool = False, refused: Refused | None = None) -> ListenerPolicy:
    """The policy of the controller's port for agents.

    Args:
        and_clients: serve clients as well, since those of the first generation use this port.
        and_applicants: serve also whoever has no certificate and asks for one.
        refused: called with what an agent or client was not allowed to say.
    """
    agent = Actor(permissions.Role.AGENT)
    return ListenerPolicy(
        actors=(ADMIN, agent) if and_clients else (agent,),
        certified=_only(PeerRole.AGENT),
        applicants=(Actor(permissions.Role.APPLICANT),) if and_applicants else (),
        refused=refused,
    )


def agent_policy(name: str) -> ListenerPolicy:
    """The policy of an agent's port for controllers. They may send requests only for this instance."""
    return ListenerPolicy(
        Role.CONTROLLER, (Actor(permissions.Role.CONTROLLER),), _only(PeerRole.CONTROLLER), instance=name
    )


def _only(role: PeerRole) -> Certified:
    """Serve only owners of certificates with this role; each may act only under its own name."""

    def certified(identity: Identity | None) -> tuple[Actor, ...]:
        return () if identity is None or identity.role is not role else (_actor(identity),)

    return certified


def _actor(identity: Identity) -> Actor:
    return Actor(permissions.Role(identity.role.value), identity.name)


def own_bus(
    name: str, common: CommonSettings, access: AccessControl, nodes_access: AccessControl | None = None
) -> ConnectedBus:
    """The bus on which a daemon listens and dials, with the configured limits; it obeys only whom ``access`` serves.

    Args:
        name: our name on the bus.
        common: the limits.
        access: the users of this host that are trusted.
        nodes_access: the users that are trusted as nodes when we dial them; ``access`` by default.
    """
    settings = TransportSettings(
        frame_bytes=common.frame_limit,
        unfinished_bytes=common.unfinished_limit,
        connections=common.connection_limit,
        connections_each=common.connection_limit_each,
        handshakes=common.handshake_limit,
        handshake_timeout=common.handshake_timeout,
        backoff_first=common.connect_retry,
    )
    return WebSocketBus(name, settings, access, nodes_access)


def supervisor_bus(name: str, common: CommonSettings, access: AccessControl, label: str = "") -> Bus:
    """The bus of this host's supervisor. It connects again within half a second after the supervisor returns.

    Args:
        name: our name on the bus.
        common: the limits, and the state directory.
        access: which users may run the supervisor.
        label: as in :func:`~zeekfleet.transport.opening.open_bus`.
    """
    first = min(common.connect_retry, LONGEST_LOCAL_PAUSE)
    settings = TransportSettings(frame_bytes=common.frame_limit, backoff_first=first, backoff_cap=LONGEST_LOCAL_PAUSE)
    socket = f"unix:{Path(common.state_dir) / SUPERVISOR_SOCKET}"
    return DialledBus(name, settings, socket, 0, label=label, access=access)
