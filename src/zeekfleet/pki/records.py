"""The records of what an authority has issued, one for each certificate. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from zeekfleet.errors import PkiError
from zeekfleet.model.ranges import Range
from zeekfleet.security.identity import Identity, PeerRole, parse_identity

AUTHORITY_DAYS: Final = 3650
DAYS: Final = 90
"""How long authorities and other certificates are valid unless something else is said."""

LIFE: Final = Range(1, 36_500, "days")

State = Literal["valid", "not valid yet", "expired", "revoked"]


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that was issued; times are seconds since 1970.

    Attributes:
        serial: its number, in hexadecimal.
        role: its owner's role.
        name: its owner's name.
        hosts: names and addresses by which its owner is reached.
        made: when it was issued.
        begin: from when it is valid.
        end: until when it is valid.
        revoked: since when it is revoked; None if it is not.
        certificate: the certificate, as PEM.
    """

    serial: str
    role: PeerRole
    name: str
    hosts: tuple[str, ...]
    made: float
    begin: float
    end: float
    revoked: float | None = None
    certificate: str

    @property
    def identity(self) -> Identity:
        """Its owner."""
        return Identity(self.role, self.name)

    def state(self, now: float) -> State:
        """Its state at this time."""
        if self.revoked is not None:
            return "revoked"
        if now > self.end:
            return "expired"
        return "valid" if now >= self.begin else "not valid yet"

    def counts(self, now: float) -> bool:
        """Whether it is valid now, or will be."""
        return self.revoked is None and now <= self.end


def find(records: Iterable[Issued], text: str) -> list[Issued]:
    """The certificates for a serial number, a name, or ``ROLE/NAME``, in the order in which they were made.

    Raises:
        PkiError: there are none, or several roles have this name.
    """
    serial = text.replace(":", "").upper()
    identity = parse_identity(text)
    found = [
        record
        for record in records
        if serial == record.serial or (text == record.name if identity is None else identity == record.identity)
    ]
    if not found:
        raise PkiError(f"no certificate of the name or serial number '{text[:80]}' was issued here")
    owners = sorted({str(record.identity) for record in found})
    if len(owners) > 1:
        raise PkiError(f"'{text}' may mean {' or '.join(owners)}: say which")
    return sorted(found, key=lambda record: record.made)
