"""The events of a simulated node in Broker's JSON form (docs/protocol.md, sections 1, 2 and 7), written by hand.

``zeekfleet.broker`` does the same from the declarations of events, but importing it takes longer than a node may take
to start. Values are read without their Broker types. When a value is written, its Python type decides: a text becomes
a ``string``, an int a ``count``, a float a ``real``, a list a ``vector``.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False  # defined here, because importing ``typing`` takes time; type checkers know the name
if TYPE_CHECKING:
    from typing import Any

TOPIC = "zeek/management/node"
SUBSCRIPTION = json.dumps([TOPIC]).encode()

HELLO = "Management::Node::API::notify_node_hello"
HELLO_REQUEST = "Zeekfleet::hello_request"
MISSING_PEERS = "Zeekfleet::notify_peers"
DISPATCH_REQUEST = "Management::Node::API::node_dispatch_request"
DISPATCH_RESPONSE = "Management::Node::API::node_dispatch_response"

_NONE = {"@data-type": "none", "data": {}}
_TYPES = {bool: "boolean", int: "count", float: "real", str: "string"}


def plain(value: Any) -> Any:
    """A value without its types: vectors and sets are lists, tables are dicts, ``none`` is None.

    Raises:
        ValueError: it is not a value in Broker's JSON form.
    """
    match value:
        case {"@data-type": "none"}:
            return None
        case {"@data-type": "vector" | "set", "data": list(items)}:
            return [plain(item) for item in items]
        case {"@data-type": "table", "data": list(entries)}:
            return {plain(entry["key"]): plain(entry["value"]) for entry in entries}
        case {"@data-type": str(), "data": str() | int() | float() as data}:
            return data
    raise ValueError("not a value")


def typed(value: Any) -> dict[str, Any]:
    """The inverse of :func:`plain`, for the types that a node sends."""
    if value is None:
        return _NONE
    if isinstance(value, list | tuple):
        return {"@data-type": "vector", "data": [typed(item) for item in value]}
    return {"@data-type": _TYPES[type(value)], "data": value}


def encode(name: str, *arguments: Any) -> bytes:
    """The frame that publishes an event on the nodes' topic."""
    message = {"type": "data-message", "topic": TOPIC, **typed((1, 1, (name, arguments)))}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def decode(message: Any) -> tuple[str, list[Any]]:
    """Name and arguments of the event in a data message.

    Raises:
        ValueError: there is none.
    """
    try:
        match plain(message):
            case [_, _, [str(name), list(arguments), *_], *_]:
                return name, arguments
    except (TypeError, KeyError, RecursionError):
        pass  # a malformed table, or vectors that are nested too deeply
    raise ValueError("not an event")
