"""A simulated node's answers to dispatches (docs/protocol.md, section 7); pure.

The data of an answer is a text, or the list of a record's fields in their order (``zeekfleet.model.dispatches``).
"""

from __future__ import annotations

import json

from zeekfleet.node.simulator import identifiers, options
from zeekfleet.node.simulator.identifiers import NOT_OPTIONS, Identifiers

TYPE_CHECKING = False  # defined here, because importing ``typing`` takes time; type checkers know the name
if TYPE_CHECKING:
    from typing import Any

    Outcome = tuple[Any, str | None]
    """The data and the error, one of them None."""

ALL = "all"

_MUST_BE_SEEN = frozenset({"Cluster::LOGGER", "Cluster::MANAGER", "Cluster::PROXY"})


def answer(action: list[str], node: str, table: Identifiers, since: float = 0.0) -> Outcome:
    """The answer to a dispatch.

    Args:
        action: the name of the action and its arguments, such as ``["get_id_value", "bits_per_uid"]``.
        node: this node's name.
        table: this node's identifiers. ``set_option`` changes the table.
        since: since when this node claims to be connected to the others, in seconds since 1970.
    """
    match action:
        case []:
            return None, "no dispatch arguments provided"
        case ["get_id_value"]:
            return None, "get_id_value expects name of global identifier"
        case ["get_id_value", name, *_]:
            return _value(table, name)
        case ["net_stats", *_]:
            return (0, 0, 0, 0, None), None
        case ["peer_stats", *_]:
            return (_peers(node, table, since), 0, 0), None
        case ["missing_peers", *_]:
            return (missing_peers(node, table),), None
        case ["set_option", option, value, *_]:
            return _set(table, option, value)
        case ["set_option", *_]:
            return None, "set_option expects name and value of an option"
    return None, f"dispatch {action[0]} unknown"


def missing_peers(node: str, table: Identifiers) -> tuple[str, ...]:
    """The nodes that this node should be connected to, and was told to report as missing."""
    text, _ = _value(table, identifiers.MISSING_PEERS)
    wanted = {name.strip() for name in json.loads(text or '""').split(",")} - {""}
    if not wanted:
        return ()
    rows = _cluster(table)
    own = rows[node]["node_type"] if node in rows else None
    seen = {name for name, row in rows.items() if row["node_type"] in _MUST_BE_SEEN - {own}}
    return tuple(sorted(seen if ALL in wanted else seen & wanted))


def _peers(node: str, table: Identifiers, since: float) -> list[tuple[str, str, float]]:
    others = sorted(_cluster(table).keys() - {node, *missing_peers(node, table)})
    return [(other, f"simulated-{other}", since) for other in others]


def _cluster(table: Identifiers) -> dict[str, dict[str, Any]]:
    """``Cluster::nodes``; all rows have a ``node_type``."""
    text, _ = _value(table, "Cluster::nodes")
    rows: dict[str, dict[str, Any]] = json.loads(text or "{}")
    return rows


def _value(table: Identifiers, name: str) -> Outcome:
    if name not in table:
        return None, "unknown id"
    held = table[name][1]
    text = held() if callable(held) else held
    return (text, None) if text is not None else (None, "no ID value")


def _set(table: Identifiers, name: str, text: str) -> Outcome:
    if name not in table or name in NOT_OPTIONS:
        return None, "unknown option"
    kind = table[name][0]
    before, _ = _value(table, name)
    # On Zeek's command line, a set must be written in braces; here the braces may be left out.
    written = "{" + text + "}" if kind == "set" and not text.strip().startswith("{") else text
    try:
        now = options.render(written, kind)[1]
    except options.TypeClashError:
        return None, f"'{text}' is no value of type {kind}"
    table[name] = kind, now
    return (name, before or "", now), None
