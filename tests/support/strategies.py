"""Hypothesis strategies for values, records and events, from their declarations."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
from hypothesis import strategies as st

from zeekfleet.broker import values
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.shapes import field_hints, shape_of
from zeekfleet.broker.values import Value
from zeekfleet.model.types import COUNT, INTEGER, PORT_PROTOCOLS, Address, Port

SMALL = 3
"""The most items in a container."""

_counts = st.integers(0, values.COUNT_MAX)
_integers = st.integers(values.INTEGER_MIN, values.INTEGER_MAX)
_reals = st.floats(allow_nan=False, allow_infinity=False)
_addresses = st.ip_addresses().map(lambda address: Address(str(address)))
_numbers = st.builds(
    lambda sign, whole, rest: f"{sign}{whole}{rest}",
    *map(st.sampled_from, (["", "-"],)),
    _counts,
    st.sampled_from(["", ".5", ".000001"]),
)

scalars: st.SearchStrategy[Value] = st.one_of(
    st.just(values.NONE),
    st.booleans().map(values.Boolean),
    _counts.map(values.Count),
    _integers.map(values.Integer),
    _reals.map(values.Real),
    st.builds(lambda number, unit: values.Timespan(number + unit), _numbers, st.sampled_from(values.TIMESPAN_UNITS)),
    st.datetimes().map(lambda moment: values.Timestamp(moment.isoformat(timespec="milliseconds"))),
    st.text().map(values.String),
    st.text().map(values.EnumValue),
    _addresses.map(lambda address: values.Address(str(address))),
    st.builds(lambda address, bits: values.Subnet(f"{address}/{bits}"), st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(
        lambda number, protocol: values.Port(f"{number}/{protocol}"),
        st.integers(0, 65535),
        st.sampled_from(sorted(PORT_PROTOCOLS)),
    ),
)


def _containers(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    items = st.lists(inner, max_size=SMALL)
    entries = st.lists(st.builds(values.Entry, inner, inner), max_size=SMALL)
    return st.one_of(items.map(values.Vector), items.map(values.Set), entries.map(values.Table))


any_value: st.SearchStrategy[Value] = st.recursive(scalars, _containers, max_leaves=8)
"""Any value of the data model."""


ANYTHING: st.SearchStrategy[Any] = any_value.map(lambda value: None if value == values.NONE else value)
PORTS = st.builds(Port, st.integers(0, 65535), st.sampled_from(sorted(PORT_PROTOCOLS)))


def of_type(hint: Any, anything: st.SearchStrategy[Any], ports: st.SearchStrategy[Port]) -> st.SearchStrategy[Any]:
    """What a field of a declared type may hold, in canonical order where order has no meaning.

    Args:
        hint: the type.
        anything: what a field of any type holds.
        ports: what ports there are.
    """
    shape, arguments = shape_of(hint)

    def inner(place: int) -> st.SearchStrategy[Any]:
        return of_type(arguments[place], anything, ports)

    simple: dict[str, st.SearchStrategy[Any]] = {
        "any": anything,
        "string": st.text(max_size=10),
        "boolean": st.booleans(),
        "real": _reals,
        COUNT: _counts,
        INTEGER: _integers,
        "address": _addresses,
        "port": ports,
    }
    match shape:
        case "optional":
            # An empty string stands for "unset" in the first generation.
            present = st.text(min_size=1, max_size=10) if arguments == (str,) else inner(0)
            return st.none() | present
        case "vector":
            return st.lists(inner(0), max_size=SMALL).map(tuple)
        case "set" if typing.get_origin(hint) is frozenset:
            return st.frozensets(inner(0), max_size=SMALL)
        case "set":
            return st.lists(inner(0), max_size=SMALL).map(_in_canonical_order)
        case "table":
            return st.dictionaries(inner(0), inner(1), max_size=SMALL)
        case "enum":
            return st.sampled_from(list(hint))
        case "record":
            return of_record(hint, anything, ports)
        case _:
            return simple[shape]


def of_record(
    record: type[msgspec.Struct],
    anything: st.SearchStrategy[Any] = ANYTHING,
    ports: st.SearchStrategy[Port] = PORTS,
) -> st.SearchStrategy[Any]:
    """Records (or events) of a class, with any content."""
    hints = field_hints(record)
    fields = {name: of_type(hints[name], anything, ports) for name in record.__struct_fields__}
    return st.fixed_dictionaries(fields).map(lambda given: record(**given))


events: st.SearchStrategy[Event] = st.sampled_from(sorted(SECOND.names, key=lambda event: event.event_name)).flatmap(
    of_record
)
"""Any event of the second generation."""


def _in_canonical_order(items: list[Any]) -> tuple[Any, ...]:
    by_text = {SECOND.codec.to_json(item, type(item)): item for item in items}
    return tuple(by_text[text] for text in sorted(by_text))
