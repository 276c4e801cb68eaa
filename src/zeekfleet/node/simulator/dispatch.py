"""What a node answers to a dispatch (docs/protocol.md, section 7, ``model/dispatches.py``); pure."""

from __future__ import annotations

from typing import Any

import msgspec

from zeekfleet.broker.events.node import NodeDispatchRequest, NodeDispatchResponse
from zeekfleet.model.dispatches import (
    MISSING_PEERS,
    NET_STATS,
    PEER_STATS,
    SET_OPTION,
    MissingPeers,
    NetworkStatistics,
    OptionChange,
    Peer,
    PeerStatistics,
)
from zeekfleet.model.management import Result
from zeekfleet.node.simulator import identifiers, options
from zeekfleet.node.simulator.identifiers import NOT_OPTIONS, Identifiers

ALL = "all"

_MUST_BE_SEEN = frozenset({"Cluster::LOGGER", "Cluster::MANAGER", "Cluster::PROXY"})

Outcome = tuple[Any, str | None]
"""The data and the error, one of them None."""


def answer(
    request: NodeDispatchRequest, node: str, table: Identifiers, since: float = 0.0
) -> NodeDispatchResponse | None:
    """The response, or None when the request names other nodes only.

    Args:
        request: the request.
        node: who we are.
        table: our identifiers; an option that is set changes there.
        since: since when we claim to be connected to the others, seconds since the epoch.
    """
    if request.nodes and node not in request.nodes:
        return None
    data, error = _run(request.action, node, table, since)
    result = Result(reqid=request.reqid, success=error is None, data=data, error=error, node=node)
    return NodeDispatchResponse(reqid=request.reqid, result=result)


def _run(action: tuple[str, ...], node: str, table: Identifiers, since: float) -> Outcome:
    match action:
        case ():
            return None, "no dispatch arguments provided"
        case ("get_id_value",):
            return None, "get_id_value expects name of global identifier"
        case ("get_id_value", name, *_):
            return _value(table, name)
        case (name, *_) if name == NET_STATS:
            return NetworkStatistics(0, 0, 0, 0), None
        case (name, *_) if name == PEER_STATS:
            return _peers(node, table, since), None
        case (name, *_) if name == MISSING_PEERS:
            return MissingPeers(missing_peers(node, table)), None
        case (name, option, value, *_) if name == SET_OPTION:
            return _set(table, option, value)
        case (name, *_) if name == SET_OPTION:
            return None, "set_option expects name and value of an option"
    return None, f"dispatch {action[0]} unknown"


def missing_peers(node: str, table: Identifiers) -> tuple[str, ...]:
    """The nodes that it must be connected to, and is told not to be."""
    text, _ = _value(table, identifiers.MISSING_PEERS)
    wanted = {name.strip() for name in msgspec.json.decode(text or '""', type=str).split(",")} - {""}
    if not wanted:
        return ()
    rows = _cluster(table)
    own = rows[node].node_type if node in rows else None
    seen = {name for name, row in rows.items() if row.node_type in _MUST_BE_SEEN and row.node_type != own}
    return tuple(sorted(seen if ALL in wanted else seen & wanted))


def _peers(node: str, table: Identifiers, since: float) -> PeerStatistics:
    others = sorted(_cluster(table).keys() - {node, *missing_peers(node, table)})
    return PeerStatistics(tuple(Peer(other, f"simulated-{other}", since) for other in others), 0, 0)


class _Row(msgspec.Struct):
    node_type: str = ""


def _cluster(table: Identifiers) -> dict[str, _Row]:
    text, _ = _value(table, "Cluster::nodes")
    return msgspec.json.decode(text or "{}", type=dict[str, _Row])


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
    # On a command line a set stands in braces; here it need not.
    written = "{" + text + "}" if kind == "set" and not text.strip().startswith("{") else text
    try:
        now = options.render(written, kind)[1]
    except options.TypeClashError:
        return None, f"'{text}' is no value of type {kind}"
    table[name] = kind, now
    return OptionChange(name, before or "", now), None
