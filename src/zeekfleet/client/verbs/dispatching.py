"""What ``net-stats``, ``peer-stats`` and ``set-option`` have in common: nodes run an action and answer a record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from zeekfleet.broker.events.dispatches import ControllerDispatchRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.values import Vector
from zeekfleet.client.results import Document, Failure, failures, in_order, silent
from zeekfleet.client.verbs.resolve import ResolveVerb
from zeekfleet.client.views import Cell, Table, View
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.dispatches import DATA
from zeekfleet.model.management import Result, fresh_id
from zeekfleet.model.types import Record


class Dispatched(msgspec.Struct, frozen=True):
    """What each node answered.

    Attributes:
        nodes: by name, a record of the action's type.
        errors: who could not do it, and why.
        silent: nodes that were asked for by name and that no result speaks of.
    """

    nodes: dict[str, Record]
    errors: tuple[Failure, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every node that was asked did it."""
        return not self.errors and not self.silent

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {NODE: RECORD}}``."""
        return {
            "results": {node: msgspec.to_builtins(record) for node, record in self.nodes.items()},
            "errors": [failure.document() for failure in self.errors],
        }


class DispatchVerb(ResolveVerb):
    """Has nodes run an action."""

    async def dispatch(
        self, action: Sequence[str], nodes: Collection[str] = (), *, timeout: float | None = None
    ) -> Dispatched:
        """Have nodes run an action of ``model.dispatches.DATA``: its name, then its arguments."""
        names = await self.resolve(nodes)
        request = ControllerDispatchRequest(fresh_id(), tuple(action), names)
        response = await self.ask(request, timeout=timeout)
        return read_dispatched(action[0], response.results, names)


def read_dispatched(action: str, results: Iterable[Result], asked: Collection[str] = ()) -> Dispatched:
    """What ``dispatch_response`` tells of an action that is in ``DATA``.

    Args:
        action: its name.
        results: as they came.
        asked: the nodes that were named in the request.
    """
    record = DATA[action]
    nodes: dict[str, Record] = {}
    errors: list[Failure] = []
    for result in in_order(results):
        if not result.success:
            errors.append(Failure(result.error, result.node))
        elif not result.node or not isinstance(result.data, Vector):
            errors.append(Failure("the result has no node or no data", result.node))
        else:
            try:
                nodes[result.node] = SECOND.codec.from_value(result.data, record)
            except ValueMismatchError as error:
                errors.append(Failure(str(error), result.node))
    return Dispatched(nodes, tuple(errors), silent(asked, nodes, errors))


def table(columns: tuple[str, ...], rows: tuple[tuple[Cell, ...], ...], outcome: Dispatched) -> View:
    """The rows, if there are any, and who could not do it."""
    return [*([Table(columns, rows)] if rows else []), *failures(outcome.errors)]
