"""Whether a certificate is valid at this time, in words that name it."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

_VERSION, _TIME, _LONG_TIME = 0xA0, 0x17, 0x18
"""Tags of ASN.1: the field that tells a certificate's version, and times with two and four digits for the year."""


class Validity(msgspec.Struct, frozen=True):
    """When a certificate is valid, in seconds since 1970, and what to call it."""

    name: str
    begin: float
    end: float

    def problem(self, now: float | None = None) -> str | None:
        """A sentence about a certificate that is not valid now; None if it is."""
        now = time.time() if now is None else now
        if now > self.end:
            return f"{self.name} has expired on {date_text(self.end)}"
        if now < self.begin:
            return f"{self.name} is not valid before {date_text(self.begin)}, and it is {date_text(now)} here"
        return None


def validity(pem: bytes, name: str) -> Validity:
    """Of the first certificate in a PEM document.

    Raises:
        ValueError: there is none that can be read.
    """
    block = _BLOCK.search(pem)
    if block is None:
        raise ValueError("there is no certificate in PEM format in it")
    der = ssl.PEM_cert_to_DER_cert(block[0].decode("ascii"))
    # The library for certificates takes 11 MB of a daemon, and two times are all that is needed of it:
    # a certificate begins with [version], serial number, algorithm, issuer, and its two times (RFC 5280, 4.1).
    signed = _first(_first(der))
    fields = [content for tag, content in _elements(signed) if tag != _VERSION]
    if len(fields) < 4 or len(times := list(_elements(fields[3]))) != 2:
        raise ValueError("it is no certificate")
    begin, end = (_time(tag, text) for tag, text in times)
    return Validity(name, begin, end)


def validity_of_file(path: str) -> Validity:
    """Of the first certificate in a PEM file, by the file's name.

    Raises:
        OSError: it cannot be read.
        ValueError: there is no certificate in it.
    """
    return validity(Path(path).read_bytes(), f"certificate {path}")


def _first(der: bytes) -> bytes:
    """The content of the first element."""
    for _, content in _elements(der):
        return content
    raise ValueError("it is cut off")


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of elements that follow each other in DER."""
    place = 0
    while place < len(der):
        length, start = int.from_bytes(der[place + 1 : place + 2]), place + 2
        if length >= 0x80:
            start += length - 0x80
            length = int.from_bytes(der[place + 2 : start])
        if start + length > len(der):
            raise ValueError("it is cut off")
        yield der[place], der[start : start + length]
        place = start + length


def _time(tag: int, text: bytes) -> float:
    if tag not in (_TIME, _LONG_TIME):
        raise ValueError("it has no times")
    # Years with two digits are those from 1950 to 2049.
    century = b"" if tag == _LONG_TIME else b"20" if text < b"5" else b"19"
    moment = datetime.strptime((century + text).decode("ascii"), "%Y%m%d%H%M%SZ")
    return moment.replace(tzinfo=UTC).timestamp()


def date_text(seconds: float) -> str:
    """A time, in seconds since 1970, as a date of UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
