"""What ``net-stats``, ``peer-stats`` and ``set-option`` have in common: nodes run an action and answer a row each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from zeekfleet.cli.nodes import tell_silent
from zeekfleet.cli.output import Cell, Table, View
from zeekfleet.cli.session import Session
from zeekfleet.cli.tables import ABSENT, failures
from zeekfleet.client.blocking import result_of
from zeekfleet.client.dispatched import Dispatched
from zeekfleet.model.dispatches import NetworkStatistics, OptionChange, PeerStatistics


def run(args: argparse.Namespace, action: Sequence[str], view: Callable[[Dispatched], View]) -> int:
    """Have ``args.nodes``, or all nodes, run an action, and show what they answer; the exit code."""
    session = Session(args)
    with session.connected() as controller:
        outcome = result_of(controller.dispatch(action, args.nodes))
    session.output.show(outcome.document(), lambda: view(outcome))
    tell_silent(session, outcome.silent)
    return 0 if outcome.ok else 1


def network_view(outcome: Dispatched) -> View:
    """A node a row."""
    rows = tuple(
        (
            Cell(node),
            *(Cell(str(number)) for number in (found.received, found.dropped, found.link, found.bytes)),
            ABSENT if found.filtered is None else Cell(str(found.filtered)),
        )
        for node, found in sorted(outcome.nodes.items())
        if isinstance(found, NetworkStatistics)
    )
    return _view(("NODE", "RECEIVED", "DROPPED", "LINK", "BYTES", "FILTERED"), rows, outcome)


def peers_view(outcome: Dispatched) -> View:
    """A node a row."""
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
    return _view(("NODE", "PEERS", "WHO", "LATEST SINCE", "EVENTS QUEUED", "DISPATCHED"), rows, outcome)


def option_view(outcome: Dispatched) -> View:
    """A node a row."""
    rows = tuple(
        (Cell(node), Cell(found.before), Cell(found.now))
        for node, found in sorted(outcome.nodes.items())
        if isinstance(found, OptionChange)
    )
    return _view(("NODE", "BEFORE", "NOW"), rows, outcome)


def _view(columns: tuple[str, ...], rows: tuple[tuple[Cell, ...], ...], outcome: Dispatched) -> View:
    return [*([Table(columns, rows)] if rows else []), *failures(outcome.errors)]


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
