"""``zeekfleet status``: the nodes, since when they are what they are, and what happened to them before."""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection, Mapping
from typing import Any

from zeekfleet.broker.events.controller import GetNodesRequest, GetNodesResponse
from zeekfleet.broker.events.details import ControllerStatusRequest, ControllerStatusResponse
from zeekfleet.cli.absent import Absent, Wanted, absent_cells, duration, look, merged, split, state_cell, summary
from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.output import Cell, Note, Table, View
from zeekfleet.cli.session import Connection, Session
from zeekfleet.cli.tables import ABSENT, failures
from zeekfleet.client.histories import Histories, last_exit, read_histories, report_document
from zeekfleet.client.node_groups import Member, members_of, narrow
from zeekfleet.client.results import read_nodes, role_name
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import fresh_id
from zeekfleet.model.supervision import NodeDetails, NodeReport

NOT_RUNNING = 3
"""The exit code when something that is wanted does not run."""

COLUMNS = ("INSTANCE", "NODE", "ROLE", "STATE", "SINCE", "PID", "RESTARTS", "LAST EXIT", "RESOURCES")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "status", "Show the cluster nodes with their histories.")
    add_nodes(parser, "Nodes to show")


def run(args: argparse.Namespace) -> int:
    """Run the verb; 3 if something that is wanted does not run."""
    session = Session(args)
    with session.connected() as connection:
        wanted = look(connection)
        outcome = _histories(connection, wanted)
    now = time.time()
    absent = wanted.absent({name: [one.node for one in reports] for name, reports in outcome.instances.items()}, now)
    names = wanted.nodes
    if args.nodes:
        rows, errors = narrow(
            merged(outcome.instances, absent), outcome.errors, args.nodes, members_of(wanted.configuration), _member
        )
        reports, absent = split(rows, NodeReport)
        outcome = Histories(reports, errors)
        names &= {row.node for found in rows.values() for row in found}
    running = names & {one.node for found in outcome.instances.values() for one in found if one.state is State.RUNNING}
    session.output.show(
        _document(outcome, absent, wanted, names, running), lambda: view(outcome, now, absent, wanted, names, running)
    )
    if running != names:
        return NOT_RUNNING
    return 0 if outcome.ok else 1


def _histories(connection: Connection, wanted: Wanted) -> Histories:
    if wanted.presences is not None:
        return read_histories(connection.ask(ControllerStatusRequest(fresh_id()), ControllerStatusResponse).results)
    # A stock controller knows the nodes' states, and no histories.
    seen = read_nodes(connection.ask(GetNodesRequest(fresh_id()), GetNodesResponse).results)
    reports = {
        instance: tuple(
            NodeReport(one.node, one.cluster_role, one.state, 0.0, NodeDetails(one.node, "", one.pid))
            for one in statuses
            if one.cluster_role is not ClusterRole.NONE
        )
        for instance, statuses in seen.instances.items()
    }
    return Histories(reports, seen.errors)


def _member(instance: str, row: NodeReport | Absent) -> Member:
    return Member(row.node, instance, row.role)


def _document(
    outcome: Histories,
    absent: Mapping[str, tuple[Absent, ...]],
    wanted: Wanted,
    names: Collection[str],
    running: Collection[str],
) -> dict[str, Any]:
    """``results`` and ``errors``, and beside them what is wanted: the instances, and how many nodes run."""
    document = outcome.document()
    for instance, nodes in absent.items():
        for one in nodes:
            last = report_document(one.last) if one.last else None
            document["results"].setdefault(instance, {})[one.node] = {
                "state": one.state,
                "role": one.role.name,
                "why": one.why,
                "last": last,
                "reported_at": one.reported_at,
            }
    document["instances"] = {
        name: {
            "connected": presence.connected,
            "configured": presence.configured,
            "heard_at": presence.heard_at,
            "gone_since": presence.gone_since,
            "silent_since": presence.silent_since,
            "supervisor_away_since": presence.supervisor_away_since,
        }
        for name, presence in (wanted.presences or {}).items()
    }
    document["nodes"] = {"wanted": len(names), "running": len(running)}
    return document


def view(
    outcome: Histories,
    now: float,
    absent: Mapping[str, tuple[Absent, ...]] | None = None,
    wanted: Wanted | None = None,
    names: Collection[str] = (),
    running: Collection[str] = (),
) -> View:
    """A node a row, those that are wanted and not there among them."""
    rows: list[tuple[Cell, ...]] = []
    for instance, found in merged(outcome.instances, absent or {}).items():
        for one in found:
            if isinstance(one, Absent):
                rows.append((*absent_cells(one), *[ABSENT] * (len(COLUMNS) - 4)))
            else:
                rows.append(_row(instance, one, now, wanted.away(instance, now) if wanted else ""))
    table = [Table(COLUMNS, tuple(rows), essential=4)] if rows else []
    nothing = [] if rows or outcome.errors or names else [Note("no node is deployed")]
    return [*table, *nothing, *failures(outcome.errors), *summary(names, running)]


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
