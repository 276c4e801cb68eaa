"""``zeekfleet status``: the nodes, since when they are what they are, and what happened to them before."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from zeekfleet.broker.events.details import ControllerStatusRequest, ControllerStatusResponse
from zeekfleet.cli.nodes import add_nodes, deployed_members
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.output import BUSY, Cell, Table, View
from zeekfleet.cli.session import Session
from zeekfleet.cli.tables import ABSENT, TONES, failures
from zeekfleet.client.histories import Histories, last_exit, read_histories
from zeekfleet.client.node_groups import Member, narrow
from zeekfleet.client.results import role_name
from zeekfleet.model.management import fresh_id
from zeekfleet.model.supervision import NodeReport

COLUMNS = ("INSTANCE", "NODE", "ROLE", "STATE", "SINCE", "PID", "RESTARTS", "LAST EXIT", "RESOURCES")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "status", "Show the cluster nodes with their histories.")
    add_nodes(parser, "Nodes to show")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected() as connection:
        outcome = read_histories(connection.ask(ControllerStatusRequest(fresh_id()), ControllerStatusResponse).results)
        if args.nodes:
            outcome = _narrowed(outcome, args.nodes, deployed_members(connection))
    session.output.show(outcome.document(), lambda: view(outcome, time.time()))
    return 0 if outcome.ok else 1


def _narrowed(outcome: Histories, words: Sequence[str], deployed: Sequence[Member]) -> Histories:
    def member(instance: str, report: NodeReport) -> Member:
        return Member(report.node, instance, report.role)

    return Histories(*narrow(outcome.instances, outcome.errors, words, deployed, member))


def view(outcome: Histories, now: float) -> View:
    """A node a row."""
    rows = tuple(_row(instance, report, now) for instance, reports in outcome.instances.items() for report in reports)
    return [*([Table(COLUMNS, rows, essential=4)] if rows else []), *failures(outcome.errors)]


def _row(instance: str, report: NodeReport, now: float) -> tuple[Cell, ...]:
    details = report.details
    ended = last_exit(details)
    resources = " ".join(f"{name}={value}" for name, value in sorted(details.resources.items())) if details else ""
    return (
        Cell(instance),
        Cell(report.node),
        Cell((role_name(report.role) or "-").lower()),
        Cell(report.condition, BUSY if report.missing else TONES[report.state]),
        Cell(duration(now - report.since)),
        Cell(str(details.pid)) if details and details.pid is not None else ABSENT,
        Cell(str(details.restarts)) if details else ABSENT,
        Cell(f"{ended}, {duration(now - (details.exited_at or now))} ago") if details and ended else ABSENT,
        Cell(resources) if resources else ABSENT,
    )


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = max(0, int(seconds))
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {lesser}"
    return f"{whole} s"
