"""Which other nodes each node is connected to."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from zeekfleet.client.verbs.dispatching import Dispatched, DispatchVerb, table
from zeekfleet.client.views import Cell, View
from zeekfleet.model.dispatches import PEER_STATS, PeerStatistics


class PeerStatsVerb(DispatchVerb):
    """Asks nodes for their peers."""

    async def peer_stats(self, nodes: Collection[str] = (), *, timeout: float | None = None) -> Dispatched:
        """Which other nodes each node is connected to: a ``model.dispatches.PeerStatistics`` for each node."""
        return await self.dispatch((PEER_STATS,), nodes, timeout=timeout)


def view(outcome: Dispatched) -> View:
    """A row for each node."""
    rows = tuple(
        (
            Cell(node),
            Cell(str(len(found.peers))),
            Cell(" ".join(peer.node for peer in found.peers)),
            Cell(_moment(max((peer.since for peer in found.peers), default=None))),
            Cell(str(found.events_queued)),
            Cell(str(found.events_dispatched)),
        )
        for node, found in sorted(outcome.nodes.items())
        if isinstance(found, PeerStatistics)
    )
    return table(("NODE", "PEERS", "WHO", "LATEST SINCE", "EVENTS QUEUED", "DISPATCHED"), rows, outcome)


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
