"""Functions that write Python values as the JSON text of the data model.

They write the text directly, without building values first, which is several
times as fast. A :class:`Writer` separates the constant text before and after a
value from the function that writes the payload between. So a record or vector
joins the constants once, when it is compiled, and payloads can be written by
functions in C.
"""

from __future__ import annotations

import enum
import functools
import itertools
import math
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, NamedTuple

import msgspec

from zeekfleet.broker.values import COUNT_MAX, INTEGER_MAX, INTEGER_MIN
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.types import COUNT, INTEGER, Port

NONE = '{"@data-type":"none","data":{}}'


class Writer(NamedTuple):
    """``prefix + payload(value) + suffix`` is the value's text.

    If the value may be None, ``optional`` is the writer for all other values.
    """

    prefix: str
    payload: Callable[[Any], str]
    suffix: str
    optional: Writer | None = None

    def __call__(self, data: Any) -> str:
        """The whole text of one value."""
        return self.prefix + self.payload(data) + self.suffix


def _tagged(name: str, payload: Callable[[Any], str]) -> Writer:
    return Writer(f'{{"@data-type":"{name}","data":', payload, "}")


def _boolean(data: bool) -> str:
    return "true" if data else "false"


def _count(data: int) -> str:
    if not 0 <= data <= COUNT_MAX:
        raise ValueMismatchError(f"count {data} is not within 0 to 2^64-1")
    return f"{data:d}"


def _integer(data: int) -> str:
    if not INTEGER_MIN <= data <= INTEGER_MAX:
        raise ValueMismatchError(f"integer {data} is not within -2^63 to 2^63-1")
    return f"{data:d}"


def _real(data: float) -> str:
    if not math.isfinite(data):
        raise ValueMismatchError(f"real {data} is not finite")
    return repr(float(data))


def _address(data: str) -> str:
    return f'"{data}"'


@functools.lru_cache(maxsize=4096)
def _port(data: Port) -> str:
    return f'"{data}"'


STRING = _tagged("string", encode_basestring)
SCALARS: dict[str, Writer] = {
    "string": STRING,
    "boolean": _tagged("boolean", _boolean),
    "real": _tagged("real", _real),
    COUNT: _tagged("count", _count),
    INTEGER: _tagged("integer", _integer),
    "address": _tagged("address", _address),
    "port": _tagged("port", _port),
}

UNSET_AS_EMPTY = STRING._replace(payload=lambda data: encode_basestring(data or ""))
"""Writes an optional string as ``""`` if it is unset, for a layout in which the field is mandatory."""


def optional_writer(inner: Writer) -> Writer:
    """Write None as the value ``none``."""
    return Writer("", lambda data: NONE if data is None else inner(data), "", inner)


def vector_writer(inner: Writer) -> Writer:
    """Write items in order."""
    prefix, payload, suffix, _ = inner
    between = f"{suffix},{prefix}"

    def write(data: Any) -> str:
        return f"[{prefix}{between.join(map(payload, data))}{suffix}]" if data else "[]"

    return _tagged("vector", write)


def set_writer(inner: Writer) -> Writer:
    """Write distinct items, sorted by their text, so that equal sets give equal bytes."""
    prefix, payload, suffix, _ = inner
    between = f"{suffix},{prefix}"

    def write(data: Any) -> str:
        if not data:
            return "[]"
        # Comparing neighbours is faster than hashing: the texts of records are long, but differ near their beginnings.
        distinct = [text for text, _ in itertools.groupby(sorted(map(payload, data)))]
        return f"[{prefix}{between.join(distinct)}{suffix}]"

    return _tagged("set", write)


def table_writer(key: Writer, value: Writer) -> Writer:
    """Write entries, sorted by the text of their keys."""
    before, between, after = f'{{"key":{key.prefix}', f'{key.suffix},"value":{value.prefix}', f"{value.suffix}}}"
    write_key, write_value = key.payload, value.payload

    def write(data: dict[Any, Any]) -> str:
        if not data:
            return "[]"
        entries = [before + write_key(key) + between + write_value(value) + after for key, value in data.items()]
        entries.sort()
        return f"[{','.join(entries)}]"

    return _tagged("table", write)


def enum_writer(enumeration: type[enum.Enum], scope: str) -> Writer:
    """Write members with the given scope."""
    return _tagged("enum-value", {member: f'"{scope}::{member.name}"' for member in enumeration}.__getitem__)


def record_writer(record: type[msgspec.Struct], fields: dict[str, Writer]) -> Writer:
    """Write the given fields of a record, in the given order, as a vector.

    The function is generated with its fields unrolled, since messages consist mostly of records.
    """
    namespace: dict[str, Any] = {"NONE": NONE, "astuple": msgspec.structs.astuple}
    expressions = []
    for place, writer in enumerate(fields.values()):
        inner = writer.optional or writer
        namespace |= {f"payload{place}": inner.payload, f"before{place}": inner.prefix, f"after{place}": inner.suffix}
        expression = f"payload{place}(v{place})"
        if writer.optional:
            expression = f"NONE if v{place} is None else before{place} + {expression} + after{place}"
        expressions.append(expression)
    namespace["template"] = ",".join(f"{writer.prefix}%s{writer.suffix}" for writer in fields.values())
    places = {name: place for place, name in enumerate(fields)}
    targets = "".join(f"v{places[name]}, " if name in places else "_, " for name in record.__struct_fields__)
    source = (
        f"def write(data):\n    ({targets}) = astuple(data)\n    return template % ({', '.join([*expressions, ''])})\n"
    )
    exec(source, namespace)  # noqa: S102 - the source is made of field numbers alone
    return Writer('{"@data-type":"vector","data":[', namespace["write"], "]}")
