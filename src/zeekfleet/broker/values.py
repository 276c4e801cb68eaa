"""Broker's data model and its JSON form (docs/protocol.md, section 1).

A value on the wire is ``{"@data-type": T, "data": D}``. Each class here stands
for one ``T``; a msgspec tagged union decodes them all in one pass. Constructors
check what JSON cannot: ranges, and the syntax of addresses, ports and times.
"""

from __future__ import annotations

import datetime
import ipaddress
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar, Union

import msgspec

from zeekfleet.errors import FrameError
from zeekfleet.model import types

T = TypeVar("T")

COUNT_MAX = 2**64 - 1
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1

TIMESPAN_UNITS = ("ns", "us", "ms", "s", "min", "h", "d")
_TIMESPAN = re.compile(rf"[+-]?\d+(?:\.\d+)?(?:{'|'.join(TIMESPAN_UNITS)})")


class BrokerValue(msgspec.Struct, frozen=True, tag_field="@data-type"):
    """Base of all values of the data model."""


class NoneValue(BrokerValue, frozen=True, tag="none"):
    """An unset value. ``data`` is written as ``{}``; any ``data`` is accepted when reading."""

    data: Any = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.data != {}:
            msgspec.structs.force_setattr(self, "data", {})

    def __hash__(self) -> int:
        return hash(NoneValue)


class Boolean(BrokerValue, frozen=True, tag="boolean"):
    """``bool``."""

    data: bool


class Count(BrokerValue, frozen=True, tag="count"):
    """Unsigned 64-bit integer."""

    data: int

    def __post_init__(self) -> None:
        if not 0 <= self.data <= COUNT_MAX:
            raise ValueError(f"count {self.data} is not within 0 to 2^64-1")


class Integer(BrokerValue, frozen=True, tag="integer"):
    """Signed 64-bit integer."""

    data: int

    def __post_init__(self) -> None:
        if not INTEGER_MIN <= self.data <= INTEGER_MAX:
            raise ValueError(f"integer {self.data} is not within -2^63 to 2^63-1")


class Real(BrokerValue, frozen=True, tag="real"):
    """A finite floating point number: JSON has no NaN and no infinity."""

    data: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.data):
            raise ValueError(f"real {self.data} is not finite")


class Timespan(BrokerValue, frozen=True, tag="timespan"):
    """A duration as a number and a unit, such as ``"1500ms"``."""

    data: str

    def __post_init__(self) -> None:
        if not _TIMESPAN.fullmatch(self.data):
            raise ValueError(f"timespan '{self.data[:40]}' is no number with a unit of {' '.join(TIMESPAN_UNITS)}")


class Timestamp(BrokerValue, frozen=True, tag="timestamp"):
    """A point in time in UTC, as ISO 8601 without a zone."""

    data: str

    def __post_init__(self) -> None:
        try:
            datetime.datetime.fromisoformat(self.data)
        except ValueError:
            raise ValueError(f"timestamp '{self.data[:40]}' is not ISO 8601, such as 2022-04-10T07:00:00") from None


class String(BrokerValue, frozen=True, tag="string"):
    """Unicode text."""

    data: str


class EnumValue(BrokerValue, frozen=True, tag="enum-value"):
    """A member of an enum, by its fully scoped name, such as ``"Management::RUNNING"``."""

    data: str


class Address(BrokerValue, frozen=True, tag="address"):
    """An IPv4 or IPv6 address."""

    data: str

    def __post_init__(self) -> None:
        try:
            types.Address(self.data)
        except ValueError:
            raise ValueError(f"'{self.data[:60]}' is no IPv4 or IPv6 address") from None


class Subnet(BrokerValue, frozen=True, tag="subnet"):
    """A network, such as ``"10.0.0.0/8"``."""

    data: str

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_network(self.data, strict=False)
        except ValueError:
            raise ValueError(f"'{self.data[:60]}' is no subnet such as 10.0.0.0/8") from None


class Port(BrokerValue, frozen=True, tag="port"):
    """A transport port, such as ``"8080/tcp"``."""

    data: str

    def __post_init__(self) -> None:
        types.parse_port(self.data)


class Vector(BrokerValue, frozen=True, tag="vector"):
    """Values in order. A record is a vector of its fields."""

    data: list[Value]

    def __hash__(self) -> int:
        return hash((Vector, tuple(self.data)))


class Set(BrokerValue, frozen=True, tag="set"):
    """Distinct values, in the sender's order."""

    data: list[Value]

    def __hash__(self) -> int:
        return hash((Set, tuple(self.data)))


class Entry(msgspec.Struct, frozen=True):
    """One key of a table, with its value."""

    key: Value
    value: Value


class Table(BrokerValue, frozen=True, tag="table"):
    """Distinct keys with their values, in the sender's order."""

    data: list[Entry]

    def __hash__(self) -> int:
        return hash((Table, tuple(self.data)))


Value = Union[  # noqa: UP007 - msgspec resolves the recursion through this name
    NoneValue,
    Boolean,
    Count,
    Integer,
    Real,
    Timespan,
    Timestamp,
    String,
    EnumValue,
    Address,
    Subnet,
    Port,
    Vector,
    Set,
    Table,
]

NONE = NoneValue()

_ENCODER = msgspec.json.Encoder()
to_json: Callable[[Any], bytes] = _ENCODER.encode


def guarded(decode: Callable[[bytes | str], T], text: bytes | str) -> T:
    """Call a msgspec decoder; raise FrameError for every error that bad input can cause."""
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        raise FrameError(f"invalid value: {error}") from None
    except msgspec.DecodeError as error:
        raise FrameError(f"invalid JSON: {error}") from None
    except RecursionError:
        raise FrameError("invalid value: nested too deeply") from None
    except UnicodeError:
        raise FrameError("invalid JSON: not UTF-8") from None


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SUSPECT = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)|[\x00-\x1f]", re.DOTALL)


def repair_json(frame: bytes | str) -> str:
    """Make a Zeek node's frame valid JSON: it may have raw control bytes, ``\\v`` and bytes that are not UTF-8."""
    text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
    return _STRING.sub(lambda string: _SUSPECT.sub(_repair, string.group()), text)


def _repair(match: re.Match[str]) -> str:
    found = match.group()
    if len(found) == 1:
        return f"\\u{ord(found):04x}"
    if found == "\\v":
        return "\\u000b"
    return found if found[1] in '"\\/bfnrtu' else "\\" + found
