"""One event of each class, made from its declaration: the same at every run."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.dispatches import ControllerDispatchRequest
from zeekfleet.broker.generations import FIRST, SECOND, Generation
from zeekfleet.broker.shapes import field_hints, shape_of
from zeekfleet.model.types import COUNT, INTEGER, Address, Port

EVENTS: tuple[type[Event], ...] = tuple(
    sorted({*SECOND.names, *FIRST.names}, key=lambda event: (event.event_name.rpartition("::")[2], event.event_name))
)
"""Every event of the protocol."""


def example(event: type[Event], name: str) -> Event:
    """An event in which agents and nodes are called ``name``, with as little in it as there can be."""
    if event is ControllerDispatchRequest:
        return ControllerDispatchRequest("r", ("net_stats",))
    return typing.cast("Event", _record(event, name))


def generation_of(event: type[Event]) -> Generation:
    """Whose names an event has: the second generation's if it has them at all."""
    return SECOND if event in SECOND.names else FIRST


def _record(record: type[msgspec.Struct], name: str) -> Any:
    hints = field_hints(record)
    return record(**{field: _value(hints[field], field, name) for field in record.__struct_fields__})


def _value(hint: Any, field: str, name: str) -> Any:
    shape, arguments = shape_of(hint)
    if shape == "optional":
        return _value(arguments[0], field, name) if field == "node" else None
    if shape == "record":
        return _record(hint, name)
    if shape == "enum":
        return next(iter(hint))
    if shape == "set":
        return frozenset() if typing.get_origin(hint) is frozenset else ()
    values: dict[str, Any] = {
        "any": None,
        "string": name if field in ("instance", "node") else "r",
        "boolean": False,
        "real": 0.0,
        COUNT: 1,
        INTEGER: 1,
        "address": Address("127.0.0.1"),
        "port": Port(1),
        "vector": (),
        "table": {},
    }
    return values[shape]
