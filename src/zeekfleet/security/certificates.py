"""Reads when a certificate is valid, and which of two lists of revoked certificates is newer."""

from __future__ import annotations

import base64
import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_LIST = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)

_EXTENSIONS, _SEQUENCE, _OCTETS, _INTEGER = 0xA0, 0x30, 0x04, 0x02
_LIST_NUMBER = bytes.fromhex("551d14")
"""The object identifier 2.5.29.20."""

_VERSION, _TIME, _LONG_TIME = 0xA0, 0x17, 0x18
"""ASN.1 tags: of the field with a certificate's version, and of times with two and four digits for the year."""


class Validity(msgspec.Struct, frozen=True):
    """The period in which a certificate is valid, in seconds since 1970, and the certificate's name for sentences."""

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
    """The validity of the first certificate in a PEM document.

    Raises:
        ValueError: there is no certificate that can be read.
    """
    block = _BLOCK.search(pem)
    if block is None:
        raise ValueError("there is no certificate in PEM format in it")
    der = ssl.PEM_cert_to_DER_cert(block[0].decode("ascii"))
    # The library for certificates would take 11 MB of a daemon's memory, but only two times are needed. A certificate
    # begins with [version], serial number, algorithm, issuer, and these two times (RFC 5280, 4.1).
    signed = _first(_first(der))
    fields = [content for tag, content in _elements(signed) if tag != _VERSION]
    if len(fields) < 4 or len(times := list(_elements(fields[3]))) != 2:
        raise ValueError("it is no certificate")
    begin, end = (_time(tag, text) for tag, text in times)
    return Validity(name, begin, end)


def validity_of_file(path: str) -> Validity:
    """The validity of the first certificate in a PEM file, named after the file.

    Raises:
        OSError: it cannot be read.
        ValueError: there is no certificate in it.
    """
    return validity(Path(path).read_bytes(), f"certificate {path}")


def list_number(pem: bytes) -> int:
    """The number of a list of revoked certificates. Of two lists of one authority, the newer has the greater number.

    Raises:
        ValueError: this is not one list, or it has no number.
    """
    blocks = _LIST.findall(pem)
    if len(blocks) != 1:
        raise ValueError("expected one list of revoked certificates in PEM format")
    extensions = (content for tag, content in _elements(_signed(blocks[0])) if tag == _EXTENSIONS)
    for _, extension in _elements(_first(next(extensions, b""))):
        parts = list(_elements(extension))
        if parts and parts[0][1] == _LIST_NUMBER:
            tag, number = next(_elements(parts[-1][1]), (0, b""))
            if parts[-1][0] == _OCTETS and tag == _INTEGER:
                return int.from_bytes(number)
    raise ValueError("the list of revoked certificates has no number")


def revoked_numbers(pem: bytes) -> frozenset[int]:
    """The serial numbers in lists of revoked certificates.

    Raises:
        ValueError: a list cannot be read.
    """
    numbers: set[int] = set()
    for block in _LIST.findall(pem):
        is_after_times = False
        for tag, content in _elements(_signed(block)):
            if tag in (_TIME, _LONG_TIME):
                is_after_times = True
            elif is_after_times and tag == _SEQUENCE:
                numbers.update(int.from_bytes(_first(entry)) for _, entry in _elements(content))
    return frozenset(numbers)


def _signed(block: bytes) -> bytes:
    """The content of a list of revoked certificates, without its signature."""
    return _first(_first(base64.b64decode(b"".join(block.split()), validate=True)))


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
