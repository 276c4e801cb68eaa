"""The scalar types of the records' fields (docs/protocol.md, section 1).

``str``, ``bool`` and ``float`` stand for Zeek's ``string``, ``bool`` and
``double``. Python has one type for Zeek's two integer types, so annotations
tell them apart: :data:`Count` and :data:`Integer`. ``frozenset[T]`` is a set of
hashable values. :data:`SetOf` is a set of records. It is kept as a tuple, because
a record that holds a table cannot be hashed, and because the validation must see
both of two records with the same name.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Annotated, ClassVar, Self, TypeVar

import msgspec

from zeekfleet.model.defaults import EVERY_ADDRESS

T = TypeVar("T")


class Marker(str):
    """The name of a type of the data model, as an annotation of a Python type that stands for several."""


COUNT = Marker("count")
INTEGER = Marker("integer")
SET = Marker("set")

Count = Annotated[int, COUNT]
"""Unsigned 64-bit integer."""

Integer = Annotated[int, INTEGER]
"""Signed 64-bit integer."""

SetOf = Annotated[tuple[T, ...], SET]
"""A Zeek set of records."""


class Record(msgspec.Struct, frozen=True):
    """Base of all records; the field order is the wire order."""

    zeek_name: ClassVar[str]


@functools.lru_cache(maxsize=4096)
def _canonical_address(text: str) -> str:
    return str(ipaddress.ip_address(text))


class Address(str):
    """An IPv4 or IPv6 address in its canonical text.

    Raises:
        ValueError: the text is no address.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, _canonical_address(text))

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self else 4


UNSPECIFIED = Address(EVERY_ADDRESS)
"""The host of an instance whose address is not known; its agent dials the controller (docs/protocol.md, section 4)."""

PORT_PROTOCOLS = frozenset({"tcp", "udp", "icmp", "?"})


class Port(msgspec.Struct, frozen=True, order=True):
    """A transport port, such as ``8080/tcp``; ``0/?`` means "none".

    Raises:
        ValueError: the number is not within 0 to 65535, or the protocol is unknown.
    """

    number: int
    protocol: str = "tcp"

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 65535:
            raise ValueError(f"port number {self.number} is not within 0 to 65535")
        if self.protocol not in PORT_PROTOCOLS:
            raise ValueError(f"port protocol '{self.protocol}' is none of tcp, udp, icmp, ?")

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@functools.lru_cache(maxsize=4096)
def parse_port(text: str) -> Port:
    """Read ``"8080/tcp"``.

    Raises:
        ValueError: the text is no port.
    """
    number, slash, protocol = text.partition("/")
    if not (slash and number.isascii() and number.isdigit() and len(number) <= 5):
        raise ValueError(f"'{text[:60]}' is no port such as 8080/tcp")
    return Port(int(number), protocol)


NO_PORT = Port(0, "?")
"""The value of a mandatory port field if the node does not listen."""
