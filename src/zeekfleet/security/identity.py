"""Who a certificate belongs to: a role and a name, in a URI such as ``zeekfleet:agent/sensor-1``.

The URI is one of the certificate's alternative names, like the names of its host. A certificate with only names of
hosts gives no role.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from zeekfleet.model.names import name_problem

SCHEME: Final = "zeekfleet"


class PeerRole(enum.StrEnum):
    """What the owner of a certificate is; the value is how its URI names it."""

    AGENT = "agent"
    CONTROLLER = "controller"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


CLIENT_ROLES: Final = (PeerRole.VIEWER, PeerRole.OPERATOR, PeerRole.ADMIN)
"""The roles of clients, beginning with the one that may do the least."""

_ROLES = {role.value: role for role in PeerRole}


class Identity(msgspec.Struct, frozen=True, order=True):
    """The owner of a certificate; as text ``agent/sensor-1``."""

    role: PeerRole
    name: str

    def __str__(self) -> str:
        return f"{self.role}/{self.name}"

    @property
    def uri(self) -> str:
        """Its form in a certificate, such as ``zeekfleet:agent/sensor-1``."""
        return f"{SCHEME}:{self}"


def parse_identity(text: str) -> Identity | None:
    """Read ``agent/sensor-1``; None if it is anything else."""
    role, slash, name = text.partition("/")
    if role not in _ROLES or not slash or name_problem(name):
        return None
    return Identity(_ROLES[role], name)


def identity_of_uris(uris: Iterable[str]) -> Identity | None:
    """The identity in the URIs of a certificate; None unless exactly one of them is ours, and well formed."""
    ours = [uri for uri in uris if uri[: len(SCHEME) + 1].lower() == f"{SCHEME}:"]
    if len(ours) != 1 or not ours[0].startswith(f"{SCHEME}:"):
        return None
    return parse_identity(ours[0].removeprefix(f"{SCHEME}:"))


def serial_of_peer(certificate: Mapping[str, Any] | None) -> int | None:
    """The serial number of a peer's certificate, given what ``getpeercert()`` of its connection returns."""
    number = (certificate or {}).get("serialNumber")
    return int(number, 16) if number else None


def identity_of_peer(certificate: Mapping[str, Any] | None) -> Identity | None:
    """The identity of a peer, given what ``getpeercert()`` of its connection returns.

    That is empty unless the certificate was verified, so whoever shows one of another authority has no identity.
    """
    names = (certificate or {}).get("subjectAltName", ())
    return identity_of_uris(value for kind, value in names if kind == "URI")
