"""The common part of ``net-stats``, ``peer-stats`` and ``set-option``: nodes run an action and answer with a record."""

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
        nodes: each node's answer, a record of the action's type, by name.
        errors: the nodes and instances that failed, and why.
        silent: nodes that were named in the request and for which there is no result.
    """

    nodes: dict[str, Record]
    errors: tuple[Failure, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every node that was asked has run the action."""
        return not self.errors and not self.silent

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {NODE: RECORD}}``."""
        return {
            "results": {node: msgspec.to_builtins(record) for node, record in self.nodes.items()},
            "errors": [failure.document() for failure in self.errors],
        }


class DispatchVerb(ResolveVerb):
    """Asks nodes to run an action."""

    async def dispatch(
        self, action: Sequence[str], nodes: Collection[str] = (), *, timeout: float | None = None
    ) -> Dispatched:
        """Ask nodes to run an action of ``model.dispatches.DATA``; ``action`` has its name, then its arguments."""
        names = await self.resolve(nodes)
        request = ControllerDispatchRequest(fresh_id(), tuple(action), names)
        response = await self.ask(request, timeout=timeout)
        return read_dispatched(action[0], response.results, names)


def read_dispatched(action: str, results: Iterable[Result], asked: Collection[str] = ()) -> Dispatched:
    """The nodes' answers in a ``dispatch_response``.

    Args:
        action: the name of the action, which is in ``DATA``.
        results: the results of the response.
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
    """A table with the rows, if there are any, and the failures."""
    return [*([Table(columns, rows)] if rows else []), *failures(outcome.errors)]
