"""The keys that the ZeroMQ sockets of a cluster over several hosts know each other by."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.types import Record

FILE_PATTERN = f"curve-{'[0-9a-f]' * 16}.json"
"""How an agent names files of keys: each after a fingerprint of its content, sixteen hexadecimal digits."""


def file_name(fingerprint: str) -> str:
    """The file for keys with this fingerprint, of which it takes as many digits as it needs."""
    return f"curve-{fingerprint[:16]}.json"


class CurveKeys(Record, frozen=True):
    """Two CURVE key pairs in Z85, forty characters each: that of the listening sockets, that of those who connect."""

    zeek_name: ClassVar[str] = "Zeekfleet::CurveKeys"

    server_public: str
    server_secret: str
    client_public: str
    client_secret: str

    def __repr__(self) -> str:
        """Nothing secret, for logs."""
        return f"<keys {self.server_public}>"

    __str__ = __repr__
