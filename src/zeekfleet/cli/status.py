"""``zeekfleet status``: the nodes, since when they are in their state, and what happened to them before."""

from __future__ import annotations

import argparse

from zeekfleet.cli.absent import absent_cells, state_cell, summary
from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.output import Cell, Note, Table, View
from zeekfleet.cli.session import Session
from zeekfleet.cli.tables import ABSENT, failures
from zeekfleet.client.blocking import result_of
from zeekfleet.client.histories import last_exit
from zeekfleet.client.results import role_name
from zeekfleet.client.status import Status
from zeekfleet.client.wanted import Absent, merged
from zeekfleet.lifecycle.wording import duration
from zeekfleet.model.supervision import NodeReport

NOT_RUNNING = 3
"""The exit code if a node does not run that should."""

COLUMNS = ("INSTANCE", "NODE", "ROLE", "STATE", "SINCE", "PID", "RESTARTS", "LAST EXIT", "RESOURCES")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "status")
    add_nodes(parser, "Nodes to show")


def run(args: argparse.Namespace) -> int:
    """Run the verb; the exit code is 3 if a node does not run that should."""
    session = Session(args)
    with session.connected() as controller:
        outcome = result_of(controller.status(args.nodes))
    session.output.show(outcome.document(), lambda: view(outcome))
    if outcome.running != outcome.names:
        return NOT_RUNNING
    return 0 if outcome.ok else 1


def view(outcome: Status) -> View:
    """A row a node, including those that should run and that nobody reports."""
    rows: list[tuple[Cell, ...]] = []
    for instance, found in merged(outcome.instances, outcome.absent).items():
        for one in found:
            if isinstance(one, Absent):
                rows.append((*absent_cells(one), *[ABSENT] * (len(COLUMNS) - 4)))
            else:
                rows.append(_row(instance, one, outcome.time, outcome.wanted.away(instance, outcome.time)))
    table = [Table(COLUMNS, tuple(rows), essential=4)] if rows else []
    nothing = [] if rows or outcome.errors or outcome.names else [Note("no node is deployed")]
    return [*table, *nothing, *failures(outcome.errors), *summary(outcome.names, outcome.running)]


def _row(instance: str, report: NodeReport, now: float, away: str) -> tuple[Cell, ...]:
    details = report.details
    ended = last_exit(details)
    resources = " ".join(f"{name}={value}" for name, value in sorted(details.resources.items())) if details else ""
    return (
        Cell(instance),
        Cell(report.node),
        Cell((role_name(report.role) or "-").lower()),
        state_cell(report.state, report, now, away),
        Cell(duration(now - report.since)) if report.since else ABSENT,
        Cell(str(details.pid)) if details and details.pid is not None and details.state in ("running", "") else ABSENT,
        Cell(str(details.restarts)) if details else ABSENT,
        Cell(f"{ended}, {duration(now - (details.exited_at or now))} ago") if details and ended else ABSENT,
        Cell(resources) if resources else ABSENT,
    )
