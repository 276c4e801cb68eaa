"""Functions that convert values of the data model to Python values.

Each raises :class:`~zeekfleet.errors.ValueMismatchError` if the value does not have the declared type.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from zeekfleet.broker import values
from zeekfleet.broker.values import Value
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.types import COUNT, INTEGER, Address, parse_port

FromValue = Callable[[Any], Any]

WIRE_NAMES = {cls: cls.__struct_config__.tag for cls in typing.get_args(values.Value)}
_NONE = values.NoneValue


def mismatch(expected: str, value: Value) -> ValueMismatchError:
    """The error for a value that does not have the expected type."""
    return ValueMismatchError(f"expected {expected}, got {WIRE_NAMES[type(value)]}")


OPAQUE_DATA = values.String("zeek::Broker::detail::DataVal")


def read_any(value: Value) -> Value | None:
    """Leave a value of type ``any`` undecoded; the caller knows its type and decodes it.

    A Zeek before 8.0.1 wraps such a value when it forwards an event, as ``[[type name, value]]``; this unwraps it.
    """
    while isinstance(value, values.Vector) and len(value.data) == 1:
        inner = value.data[0]
        if not isinstance(inner, values.Vector) or len(inner.data) != 2 or inner.data[0] != OPAQUE_DATA:
            break
        value = inner.data[1]
    return None if type(value) is _NONE else value


def _payload_reader(name: str, kind: type[Any]) -> FromValue:
    """Read a scalar whose payload is the Python value."""

    def read(value: Any) -> Any:
        if type(value) is kind:
            return value.data
        raise mismatch(name, value)

    return read


def _converting_reader(name: str, kind: type[Any], convert: Callable[[Any], Any]) -> FromValue:
    """Read a scalar whose payload has to be converted to the Python value."""

    def read(value: Any) -> Any:
        if type(value) is kind:
            return convert(value.data)
        raise mismatch(name, value)

    return read


def read_count(value: Any) -> int:
    """A count, or an integer that is not negative: Zeek accepts both, too."""
    if type(value) not in (values.Count, values.Integer) or value.data < 0:
        raise mismatch(COUNT, value)
    return int(value.data)


def read_integer(value: Any) -> int:
    """An integer, or a count that fits into 63 bits."""
    if type(value) not in (values.Integer, values.Count) or value.data > values.INTEGER_MAX:
        raise mismatch(INTEGER, value)
    return int(value.data)


def read_real(value: Any) -> float:
    """A real, or a number of either integer type."""
    if type(value) not in (values.Real, values.Count, values.Integer):
        raise mismatch("real", value)
    return float(value.data)


SCALARS: dict[str, FromValue] = {
    "string": _payload_reader("string", values.String),
    "boolean": _payload_reader("boolean", values.Boolean),
    "real": read_real,
    COUNT: read_count,
    INTEGER: read_integer,
    "address": _converting_reader("address", values.Address, Address),
    "port": _converting_reader("port", values.Port, parse_port),
}


def optional_reader(inner: FromValue, default: Callable[[], Any]) -> FromValue:
    """Read an unset value as the default."""
    return lambda value: default() if type(value) is _NONE else inner(value)


def empty_as_unset_reader(inner: FromValue) -> FromValue:
    """Read an empty string as None."""
    return lambda value: inner(value) or None


class FieldReader(NamedTuple):
    """How a record's field is read, and what gives its default; without a default the field must be set."""

    inner: FromValue
    default: Callable[[], Any] | None

    def reader(self) -> FromValue:
        """One function for both."""
        return self.inner if self.default is None else optional_reader(self.inner, self.default)


def container_of(hint: Any) -> Callable[[Any], Any]:
    """The Python container for the items of a set or vector."""
    return frozenset if typing.get_origin(hint) is frozenset else tuple


def items_reader(shape: str, inner: FromValue, build: Callable[[Any], Any]) -> FromValue:
    """Read a set or a vector."""
    kind: Any = values.Set if shape == "set" else values.Vector

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise mismatch(shape, value)
        try:
            return build([inner(item) for item in value.data])
        except ValueMismatchError:
            raise _locate(((str(place), inner, item) for place, item in enumerate(value.data))) from None

    return read


def table_reader(read_key: FromValue, read_value: FromValue) -> FromValue:
    """Read a table; a repeated key is an error."""

    def read(value: Any) -> Any:
        if type(value) is not values.Table:
            raise mismatch("table", value)
        try:
            table = {read_key(entry.key): read_value(entry.value) for entry in value.data}
        except ValueMismatchError:
            keys = (("key", read_key, entry.key) for entry in value.data)
            items = ((values.to_json(entry.key).decode(), read_value, entry.value) for entry in value.data)
            raise _locate([*keys, *items]) from None
        if len(table) != len(value.data):
            raise ValueMismatchError("a table has the same key twice")
        return table

    return read


def record_reader(title: str, fields: dict[str, FieldReader], required: int, build: Callable[..., Any]) -> FromValue:
    """Read a vector of at least ``required`` fields as a record; ``build`` takes the fields in wire order.

    For the usual case, a vector of the declared length, the function is generated
    with its fields unrolled, since messages consist mostly of records.
    """
    whole = [reader.reader() for reader in fields.values()]
    unrolled = _unrolled_reader(list(fields.values()), build)

    def read(value: Any) -> Any:
        if type(value) is not values.Vector:
            raise mismatch("vector", value)
        items = value.data
        if len(items) < required:
            raise ValueMismatchError(f"{title} needs at least {required} fields, got {len(items)}")
        try:
            if len(items) == len(whole):
                return unrolled(*items)
            return build(*[reader(item) for reader, item in zip(whole, items, strict=False)])
        except ValueMismatchError:
            raise _locate(zip(fields, whole, items, strict=False)) from None

    return read


def _unrolled_reader(fields: list[FieldReader], build: Callable[..., Any]) -> Callable[..., Any]:
    namespace: dict[str, Any] = {"NoneValue": _NONE, "String": values.String, "build": build}
    expressions = []
    for place, field in enumerate(fields):
        namespace[f"read{place}"] = field.inner
        expression = f"read{place}(v{place})"
        if field.inner is SCALARS["string"]:
            expression = f"v{place}.data if type(v{place}) is String else {expression}"
        if field.default is not None:
            namespace[f"default{place}"] = field.default
            expression = f"default{place}() if type(v{place}) is NoneValue else {expression}"
        expressions.append(expression)
    parameters = ", ".join(f"v{place}" for place in range(len(fields)))
    source = f"def unrolled({parameters}):\n    return build({', '.join(expressions)})\n"
    exec(source, namespace)  # noqa: S102 - the source is made of field numbers alone
    unrolled: Callable[..., Any] = namespace["unrolled"]
    return unrolled


def _locate(places: typing.Iterable[tuple[str, FromValue, Any]]) -> ValueMismatchError:
    """Read everything once more to find the place of the error: errors are rare, so reading keeps no places."""
    for name, reader, item in places:
        try:
            reader(item)
        except ValueMismatchError as error:
            return error.within(name)
    raise AssertionError("the second reading of a value found no error")


def enum_reader(enumeration: type[enum.Enum], scope: str) -> FromValue:
    """Read a member by its scoped name."""
    members = {f"{scope}::{member.name}": member for member in enumeration}

    def read(value: Any) -> Any:
        if type(value) is not values.EnumValue:
            raise mismatch("enum-value", value)
        member = members.get(value.data)
        if member is None:
            raise ValueMismatchError(f"'{value.data[:80]}' is none of {', '.join(members)}")
        return member

    return read
