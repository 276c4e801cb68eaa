"""Whether a certificate is valid at this time, in words that name it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Validity(msgspec.Struct, frozen=True):
    """When a certificate is valid, in seconds since 1970, and what to call it."""

    name: str
    begin: float
    end: float

    def problem(self, now: float | None = None) -> str | None:
        """A sentence about a certificate that is not valid now; None if it is."""
        now = time.time() if now is None else now
        if now > self.end:
            return f"{self.name} has expired on {_date(self.end)}"
        if now < self.begin:
            return f"{self.name} is not valid before {_date(self.begin)}, and it is {_date(now)} here"
        return None


def validity(pem: bytes, name: str) -> Validity:
    """Of the first certificate in a PEM document.

    Raises:
        ValueError: there is none that can be read.
    """
    # Whoever uses no TLS does not pay for this import.
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificate(pem)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Validity(name, begin.timestamp(), end.timestamp())


def validity_of_file(path: str) -> Validity:
    """Of the first certificate in a PEM file, by the file's name.

    Raises:
        OSError: it cannot be read.
        ValueError: there is no certificate in it.
    """
    return validity(Path(path).read_bytes(), f"certificate {path}")


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
