"""The value of a global identifier in nodes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from zeekfleet.broker import values
from zeekfleet.broker.events.controller import GetIdValueRequest
from zeekfleet.client.results import Document, Failure, failures, in_order, silent, wire_text
from zeekfleet.client.verbs.resolve import ResolveVerb
from zeekfleet.client.views import Cell, Table, View
from zeekfleet.model.management import Result, fresh_id


class IdValues(msgspec.Struct, frozen=True):
    """The value of an identifier in each node that was asked.

    Attributes:
        values: by node name, the value as Python data, decoded from JSON.
        errors: the nodes and instances that failed, and why.
        silent: nodes that were named in the request and for which there is no result.
    """

    values: dict[str, Any]
    errors: tuple[Failure, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every node that was asked has answered with a value."""
        return not self.errors and not self.silent

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {NODE: VALUE}}``."""
        return {"results": dict(self.values), "errors": [failure.document() for failure in self.errors]}


class GetIdValueVerb(ResolveVerb):
    """Asks nodes for values."""

    async def get_id_value(
        self, identifier: str, nodes: Collection[str] = (), *, timeout: float | None = None
    ) -> IdValues:
        """The value of a global identifier in nodes."""
        names = await self.resolve(nodes)
        request = GetIdValueRequest(fresh_id(), identifier, names)
        response = await self.ask(request, timeout=timeout)
        return read_id_values(response.results, names)


def read_id_values(results: Iterable[Result], asked: Collection[str] = ()) -> IdValues:
    """The values in a ``get_id_value_response``; ``asked`` are the nodes that were named in the request."""
    found: dict[str, Any] = {}
    errors: list[Failure] = []
    for result in in_order(results):
        if not result.success:
            errors.append(Failure(result.error, result.node))
        elif not result.node:
            errors.append(Failure(f"result lacking node: {wire_text(result.data, 4)}", unattributed=True))
        elif not isinstance(result.data, values.String):
            errors.append(Failure(f"invalid result data type {wire_text(result.data)}", result.node))
        else:
            try:
                found[result.node] = json.loads(result.data.data)
            except (json.JSONDecodeError, RecursionError) as error:
                errors.append(Failure(f"JSON decode error: {error}", result.node))
    return IdValues(found, tuple(errors), silent(asked, found, errors))


def view(outcome: IdValues) -> View:
    """A row for each node."""
    rows = tuple((Cell(node), Cell(_value(outcome.values[node]))) for node in sorted(outcome.values))
    return [*([Table(("NODE", "VALUE"), rows)] if rows else []), *failures(outcome.errors)]


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
