"""The keys by which the ZeroMQ sockets of a cluster on several hosts authenticate each other."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.types import Record

FILE_PATTERN = f"curve-{'[0-9a-f]' * 16}.json"
"""A glob for an agent's key files; each is named after sixteen hexadecimal digits of its content's fingerprint."""


def file_name(fingerprint: str) -> str:
    """The name of the file for the keys with this fingerprint (at least sixteen hexadecimal digits)."""
    return f"curve-{fingerprint[:16]}.json"


class CurveKeys(Record, frozen=True):
    """Two CURVE key pairs, one for listening and one for connecting sockets; each key is 40 characters of Z85."""

    zeek_name: ClassVar[str] = "Zeekfleet::CurveKeys"

    server_public: str
    server_secret: str
    client_public: str
    client_secret: str

    def __repr__(self) -> str:
        """Shows no secret key, so that it may be logged."""
        return f"<keys {self.server_public}>"

    __str__ = __repr__
