"""Maps the declared Python types of fields to types of the data model."""

from __future__ import annotations

import enum
import functools
import types as python_types
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from zeekfleet.model.types import INTEGER, SET, Address, Marker, Port

_CONTAINERS: dict[Any, str] = {tuple: "vector", frozenset: "set", dict: "table"}
_SCALARS: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    float: "real",
    int: INTEGER,
    Address: "address",
    Port: "port",
}


def shape_of(hint: Any) -> tuple[str, tuple[Any, ...]]:
    """A Python type's name in the data model, such as ``vector``, and the types of its items.

    Raises:
        TypeError: the data model has no such type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return "any", ()
    if origin is typing.Annotated:
        marker = next((m for m in hint.__metadata__ if isinstance(m, Marker)), None)
        if marker == SET:
            return "set", (typing.get_args(arguments[0])[0],)
        return str(marker), ()
    if origin in (typing.Union, python_types.UnionType):
        return "optional", tuple(argument for argument in arguments if argument is not type(None))
    if origin in _CONTAINERS:
        return _CONTAINERS[origin], arguments
    if hint in _SCALARS:
        return _SCALARS[hint], ()
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "enum", ()
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return "record", ()
    raise TypeError(f"no value of the data model for {hint!r}")


@functools.cache
def field_hints(record: type[msgspec.Struct]) -> dict[str, Any]:
    """The declared type of each field, by the field's name."""
    return typing.get_type_hints(record, include_extras=True)


def defaults_of(record: type[msgspec.Struct]) -> dict[str, Callable[[], Any]]:
    """By field that has a default, a function that returns the default."""
    found: dict[str, Callable[[], Any]] = {}
    for field in msgspec.structs.fields(record):
        if field.default is not msgspec.NODEFAULT:
            found[field.name] = functools.partial(_identity, field.default)
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = field.default_factory
    return found


def _identity(value: Any) -> Any:
    return value
