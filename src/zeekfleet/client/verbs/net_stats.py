"""How many packets each node has seen and lost."""

from __future__ import annotations

from collections.abc import Collection

from zeekfleet.client.verbs.dispatching import Dispatched, DispatchVerb, table
from zeekfleet.client.views import ABSENT, Cell, View
from zeekfleet.model.dispatches import NET_STATS, NetworkStatistics


class NetStatsVerb(DispatchVerb):
    """Asks nodes for their packet counts."""

    async def net_stats(self, nodes: Collection[str] = (), *, timeout: float | None = None) -> Dispatched:
        """How many packets each node has seen and lost: a ``model.dispatches.NetworkStatistics`` for each node."""
        return await self.dispatch((NET_STATS,), nodes, timeout=timeout)


def view(outcome: Dispatched) -> View:
    """A row for each node."""
    rows = tuple(
        (
            Cell(node),
            *(Cell(str(number)) for number in (found.received, found.dropped, found.link, found.bytes)),
            ABSENT if found.filtered is None else Cell(str(found.filtered)),
        )
        for node, found in sorted(outcome.nodes.items())
        if isinstance(found, NetworkStatistics)
    )
    return table(("NODE", "RECEIVED", "DROPPED", "LINK", "BYTES", "FILTERED"), rows, outcome)
