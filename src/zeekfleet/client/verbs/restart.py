"""Restart nodes, all at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from zeekfleet.broker.events.controller import RestartRequest
from zeekfleet.client.news import is_progress
from zeekfleet.client.results import Document, Failure, failures, in_order, silent
from zeekfleet.client.verbs.hurry import HurryVerb
from zeekfleet.client.verbs.resolve import ResolveVerb
from zeekfleet.client.views import BAD, GOOD, Cell, Table, View
from zeekfleet.model.management import Result, fresh_id


class Restarted(msgspec.Struct, frozen=True):
    """Whether each node was restarted, and the nodes that the controller could not try to restart.

    Attributes:
        nodes: by name, whether the node was restarted.
        errors: errors about unknown nodes and nodes out of reach.
        reasons: for nodes that were not restarted, the reason, if the agent gave one; by name.
        silent: nodes that were named in the request and for which there is no result.
    """

    nodes: dict[str, bool]
    errors: tuple[Failure, ...] = ()
    reasons: dict[str, str] = {}
    silent: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every node was restarted."""
        return not self.errors and not self.silent and all(self.nodes.values())

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {NODE: BOOL}}``."""
        return {"results": dict(self.nodes), "errors": [failure.document() for failure in self.errors]}


class RestartVerb(ResolveVerb, HurryVerb):
    """Restarts nodes."""

    async def restart(
        self, nodes: Collection[str] = (), *, now: bool = False, timeout: float | None = None
    ) -> Restarted:
        """Restart nodes, all at once; ``now`` as for :meth:`deploy`."""
        names = await self.resolve(nodes)
        with self._hurrying(now):
            request = RestartRequest(fresh_id(), names)
            response = await self.ask(request, timeout=timeout, watch=is_progress)
        return read_restarted(response.results, names)


def read_restarted(results: Iterable[Result], asked: Collection[str] = ()) -> Restarted:
    """The outcome in a ``restart_response``; ``asked`` are the nodes that were named in the request."""
    nodes: dict[str, bool] = {}
    errors: list[Failure] = []
    reasons: dict[str, str] = {}
    for result in in_order(results):
        if not result.success and result.instance is None:
            errors.append(Failure(result.error, result.node))
        elif result.node:
            nodes[result.node] = result.success
            if not result.success and result.error:
                reasons[result.node] = result.error
        else:
            errors.append(Failure(f"result lacking node: {result}", unattributed=True))
    return Restarted(nodes, tuple(errors), reasons, silent(asked, nodes, errors))


def view(outcome: Restarted) -> View:
    """A row for each node."""
    rows = tuple(
        (Cell(node), Cell("restarted", GOOD) if outcome.nodes[node] else Cell("failed", BAD))
        for node in sorted(outcome.nodes)
    )
    why = (Failure(reason, node) for node, reason in outcome.reasons.items())
    return [*([Table(("NODE", "RESULT"), rows)] if rows else []), *failures((*why, *outcome.errors))]
