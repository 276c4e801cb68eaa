"""What a node answers to a dispatch (protocol section 7); pure."""

from __future__ import annotations

from zeekfleet.broker.events.node import NodeDispatchRequest, NodeDispatchResponse
from zeekfleet.model.management import Result
from zeekfleet.node.simulator.identifiers import Identifiers


def answer(request: NodeDispatchRequest, node: str, table: Identifiers) -> NodeDispatchResponse | None:
    """The response, or None when the request names other nodes only."""
    if request.nodes and node not in request.nodes:
        return None
    data, error = _run(request.action, table)
    result = Result(reqid=request.reqid, success=error is None, data=data, error=error, node=node)
    return NodeDispatchResponse(reqid=request.reqid, result=result)


def _run(action: tuple[str, ...], table: Identifiers) -> tuple[str | None, str | None]:
    if not action:
        return None, "no dispatch arguments provided"
    if action[0] != "get_id_value":
        return None, f"dispatch {action[0]} unknown"
    if len(action) < 2:
        return None, "get_id_value expects name of global identifier"
    if action[1] not in table:
        return None, "unknown id"
    held = table[action[1]][1]
    text = held() if callable(held) else held
    return (text, None) if text is not None else (None, "no ID value")
