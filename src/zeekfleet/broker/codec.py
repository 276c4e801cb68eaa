"""Converts the protocol's records and events to their JSON form, and back.

A record or event is declared once, as a class with typed fields. For each type
this module compiles two functions: a writer, which goes straight to the JSON
text, and a reader, which starts from a decoded value. A :class:`Layout` tells
how one generation of the API writes records and enums.

Reading is lenient (docs/protocol.md, section 1): a record may be shorter than
declared if the missing fields have defaults, and longer; extra fields are
ignored. Writing always gives every field.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from zeekfleet.broker import readers, values, writers
from zeekfleet.broker.readers import FromValue
from zeekfleet.broker.shapes import defaults_of, field_hints, shape_of
from zeekfleet.broker.values import BrokerValue, Value
from zeekfleet.broker.writers import Writer

R = TypeVar("R", bound=msgspec.Struct)


class Layout:
    """How one generation of the API writes records and enums; this base class writes them as declared."""

    def fields(self, record: type[msgspec.Struct]) -> tuple[str, ...]:
        """The record's field names in wire order."""
        return record.__struct_fields__

    def empty_means_unset(self, record: type[msgspec.Struct], field: str) -> bool:
        """Whether an optional string is written as ``""`` when unset."""
        return False

    def enum_scope(self, enumeration: type[enum.Enum]) -> str:
        """The scope of the enum's members on the wire."""
        return str(next(iter(enumeration)).value).partition("::")[0]


class Codec:
    """Converts records of one layout. Each reader and writer is compiled once, at its first use."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._writers: dict[Any, Writer] = {Any: Writer("", self._write_any, "")}
        self._readers: dict[Any, FromValue] = {Any: readers.read_any}

    def to_json(self, data: Any, hint: Any = Any) -> str:
        """The JSON text of ``data``, which has the type ``hint``; without ``hint`` its own type is used."""
        return self.writer(hint)(data)

    def from_value(self, value: Value, hint: type[R]) -> R:
        """Read a record.

        Raises:
            ValueMismatchError: the value does not have the declared type; ``path`` tells where.
        """
        result: R = self.reader(hint)(value)
        return result

    def sequence_from_value(self, value: Value, hint: type[R]) -> tuple[R, ...]:
        """Read a vector of records.

        Raises:
            ValueMismatchError: the value does not have the declared type; ``path`` tells where.
        """
        result: tuple[R, ...] = self.reader(tuple[hint, ...])(value)  # type: ignore[valid-type]
        return result

    def writer(self, hint: Any) -> Writer:
        """The compiled function from the Python type to JSON text."""
        found = self._writers.get(hint)
        if found is None:
            found = self._writers[hint] = self._compile_writer(hint)
        return found

    def reader(self, hint: Any) -> FromValue:
        """The compiled function from a value to the Python type."""
        found = self._readers.get(hint)
        if found is None:
            found = self._readers[hint] = self._compile_reader(hint)
        return found

    def _compile_writer(self, hint: Any) -> Writer:
        shape, arguments = shape_of(hint)
        match shape:
            case "optional":
                return writers.optional_writer(self.writer(arguments[0]))
            case "set":
                return writers.set_writer(self.writer(arguments[0]))
            case "vector":
                return writers.vector_writer(self.writer(arguments[0]))
            case "table":
                return writers.table_writer(*map(self.writer, arguments))
            case "enum":
                return writers.enum_writer(hint, self._layout.enum_scope(hint))
            case "record":
                return self._compile_record_writer(hint)
            case _:
                return writers.SCALARS[shape]

    def _compile_record_writer(self, record: type[msgspec.Struct]) -> Writer:
        hints = field_hints(record)
        fields = {
            name: writers.UNSET_AS_EMPTY if self._layout.empty_means_unset(record, name) else self.writer(hints[name])
            for name in self._layout.fields(record)
        }
        return writers.record_writer(record, fields)

    def _write_any(self, data: Any) -> str:
        if isinstance(data, BrokerValue):
            return values.to_json(data).decode()
        if isinstance(data, tuple | list):
            return writers.vector_writer(self.writer(Any))(data)
        return writers.NONE if data is None else self.writer(type(data))(data)

    def _compile_reader(self, hint: Any) -> FromValue:
        shape, arguments = shape_of(hint)
        match shape:
            case "optional":
                return readers.optional_reader(self.reader(arguments[0]), lambda: None)
            case "set" | "vector":
                return readers.items_reader(shape, self.reader(arguments[0]), readers.container_of(hint))
            case "table":
                return readers.table_reader(*map(self.reader, arguments))
            case "enum":
                return readers.enum_reader(hint, self._layout.enum_scope(hint))
            case "record":
                return self._compile_record_reader(hint)
            case _:
                return readers.SCALARS[shape]

    def _compile_record_reader(self, record: type[msgspec.Struct]) -> FromValue:
        wire = self._layout.fields(record)
        hints, defaults = field_hints(record), defaults_of(record)
        fields: dict[str, readers.FieldReader] = {}
        for name in wire:
            shape, arguments = shape_of(hints[name])
            reader = self.reader(arguments[0] if shape == "optional" else hints[name])
            if self._layout.empty_means_unset(record, name):
                reader = readers.empty_as_unset_reader(reader)
            absent = defaults.get(name) or (_none if shape == "optional" else None)
            fields[name] = readers.FieldReader(reader, absent)
        required = max((place for place, name in enumerate(wire, start=1) if name not in defaults), default=0)
        build: Callable[..., Any] = record
        if wire != record.__struct_fields__[: len(wire)]:
            build = lambda *arguments: record(**dict(zip(wire, arguments, strict=False)))  # noqa: E731
        title = getattr(record, "zeek_name", "") or getattr(record, "event_name", record.__name__)
        return readers.record_reader(title, fields, required, build)


def _none() -> None:
    """The value of an optional field that is unset and has no other default."""
