"""What cluster nodes answered to a dispatch of ours, typed (``model/dispatches.py``)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.values import Vector
from zeekfleet.client.results import Failure, in_order
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.dispatches import DATA
from zeekfleet.model.management import Result
from zeekfleet.model.types import Record


class Dispatched(msgspec.Struct, frozen=True):
    """Each node's answer, a record of the action's type, and who could not tell."""

    nodes: dict[str, Record]
    errors: tuple[Failure, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every node that was asked did it."""
        return not self.errors

    def document(self) -> dict[str, object]:
        """As JSON: ``{"errors": [{"source", "error"}], "results": {NODE: RECORD}}``."""
        failures = [{"source": failure.source, "error": failure.error} for failure in self.errors]
        return {
            "results": {node: msgspec.to_builtins(record) for node, record in self.nodes.items()},
            "errors": failures,
        }


def read_dispatched(action: str, results: Iterable[Result]) -> Dispatched:
    """What ``dispatch_response`` tells of an action that is in ``DATA``."""
    record = DATA[action]
    nodes: dict[str, Record] = {}
    errors: list[Failure] = []
    for result in in_order(results):
        if not result.success:
            errors.append(Failure(result.error, result.node))
        elif not result.node or not isinstance(result.data, Vector):
            errors.append(Failure("the result has no node or no data", result.node, unattributed=not result.node))
        else:
            try:
                nodes[result.node] = SECOND.codec.from_value(result.data, record)
            except ValueMismatchError as error:
                errors.append(Failure(str(error), result.node))
    return Dispatched(nodes, tuple(errors))
