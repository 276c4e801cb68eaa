"""Every node's state and history, and the nodes that should run but do not."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

import msgspec

from zeekfleet.broker.events.details import ControllerStatusRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.node_cells import absent_cells, state_cell, summary
from zeekfleet.client.node_groups import Member, members_of, narrow
from zeekfleet.client.results import Document, Failure, failures, role_name
from zeekfleet.client.verbs.get_nodes import GetNodesVerb
from zeekfleet.client.verbs.wanted import WantedVerb
from zeekfleet.client.views import ABSENT, BUSY, Cell, Note, Table, View
from zeekfleet.client.wanted import Absent, Wanted, merged, split
from zeekfleet.lifecycle.wording import duration
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Result, fresh_id
from zeekfleet.model.supervision import NodeDetails, NodeReport

COLUMNS = ("INSTANCE", "NODE", "ROLE", "STATE", "SINCE", "PID", "RESTARTS", "LAST EXIT", "RESOURCES")


INSECURE = "the controller was started with --insecure: it serves other hosts that show no certificate"


class Histories(msgspec.Struct, frozen=True):
    """The nodes of every instance with their histories, and the instances that could not answer."""

    instances: dict[str, tuple[NodeReport, ...]]
    errors: tuple[Failure, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """The nodes, or those that were asked for.

    Attributes:
        instances: by instance, its nodes' reports.
        absent: by instance, the nodes that should run there and that no instance reports.
        errors: the instances that could not answer, and unknown nodes.
        wanted: what should run.
        names: the nodes that should run.
        time: when this was asked, in seconds since 1970, by this host's clock.
    """

    instances: dict[str, tuple[NodeReport, ...]]
    absent: dict[str, tuple[Absent, ...]]
    errors: tuple[Failure, ...]
    wanted: Wanted
    names: frozenset[str]
    time: float

    @property
    def running(self) -> frozenset[str]:
        """The nodes that should run and do run."""
        found = (report for reports in self.instances.values() for report in reports)
        return self.names & {report.node for report in found if report.state is State.RUNNING}

    @property
    def ok(self) -> bool:
        """Whether every instance has answered, and every node that should run does run."""
        return not self.errors and self.running == self.names

    def document(self) -> Document:
        """``{"errors", "instances": {NAME: {...}}, "nodes": {"running", "wanted"}, "results": {INSTANCE: {NODE}}}``."""
        results = {
            instance: {report.node: report_document(report) for report in reports}
            for instance, reports in self.instances.items()
        }
        for instance, nodes in self.absent.items():
            results.setdefault(instance, {}).update({one.node: _absent(one) for one in nodes})
        instances = {
            name: {
                "connected": presence.connected,
                "configured": presence.configured,
                "heard_at": presence.heard_at,
                "gone_since": presence.gone_since,
                "silent_since": presence.silent_since,
                "supervisor_away_since": presence.supervisor_away_since,
            }
            for name, presence in (self.wanted.presences or {}).items()
        }
        return {
            "results": results,
            "errors": [failure.document() for failure in self.errors],
            "instances": instances,
            "nodes": {"wanted": len(self.names), "running": len(self.running)},
            **({"insecure": True} if self.wanted.insecure else {}),
        }


class StatusVerb(GetNodesVerb, WantedVerb):
    """Asks for states and histories."""

    async def status(self, nodes: Collection[str] = ()) -> Status:
        """Every node's state and history, and the nodes that should run but do not."""
        wanted = await self.wanted()
        return status_of(await self._histories(wanted), wanted, time.time(), nodes)

    async def _histories(self, wanted: Wanted) -> Histories:
        if wanted.presences is not None:
            response = await self.ask(ControllerStatusRequest(fresh_id()))
            return read_histories(response.results)
        # Zeek's own controller knows the states of nodes, but not their histories.
        seen = await self.get_nodes()
        reports = {
            instance: tuple(
                NodeReport(one.node, one.cluster_role, one.state, 0.0, NodeDetails(one.node, "", one.pid))
                for one in statuses
                if one.cluster_role is not ClusterRole.NONE
            )
            for instance, statuses in seen.instances.items()
        }
        return Histories(reports, seen.errors)


def read_histories(results: Iterable[Result]) -> Histories:
    """The answer to a status request.

    Raises:
        ValueMismatchError: an instance sent something else.
    """
    instances: dict[str, tuple[NodeReport, ...]] = {}
    errors = []
    for result in results:
        if not result.success or result.data is None:
            errors.append(Failure(result.error, result.instance))
        else:
            instances[result.instance or ""] = SECOND.codec.sequence_from_value(result.data, NodeReport)
    return Histories(dict(sorted(instances.items())), tuple(errors))


def status_of(told: Histories, wanted: Wanted, now: float, nodes: Collection[str] = ()) -> Status:
    """Compare what the instances reported with what should run.

    Args:
        told: what the instances reported.
        wanted: what should run.
        now: the time here, in seconds since 1970.
        nodes: names and groups of the nodes to show; none: all.
    """
    absent = wanted.absent({name: [report.node for report in found] for name, found in told.instances.items()}, now)
    if not nodes:
        return Status(told.instances, absent, told.errors, wanted, wanted.nodes, now)
    deployed = members_of(wanted.configuration)
    rows, errors = narrow(merged(told.instances, absent), told.errors, nodes, deployed, _member)
    reports, absent = split(rows, NodeReport)
    names = wanted.nodes & {row.node for found in rows.values() for row in found}
    return Status(reports, absent, errors, wanted, names, now)


def view(outcome: Status) -> View:
    """A row for each node, including those that should run and that nobody reports."""
    rows: list[tuple[Cell, ...]] = []
    for instance, found in merged(outcome.instances, outcome.absent).items():
        for one in found:
            if isinstance(one, Absent):
                rows.append((*absent_cells(one), *[ABSENT] * (len(COLUMNS) - 4)))
            else:
                rows.append(_row(instance, one, outcome.time, outcome.wanted.away(instance, outcome.time)))
    table = [Table(COLUMNS, tuple(rows), essential=4)] if rows else []
    nothing = [] if rows or outcome.errors or outcome.names else [Note("no node is deployed")]
    insecure = [Note(INSECURE, BUSY)] if outcome.wanted.insecure else []
    return [*table, *nothing, *failures(outcome.errors), *summary(outcome.names, outcome.running), *insecure]


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


def last_exit(details: NodeDetails | None) -> str:
    """How the last process ended, in few words; empty if none has."""
    if details is None or details.exited_at is None:
        return ""
    if details.out_of_memory:
        return "out of memory"
    told = details.signal or (f"code {details.code}" if details.code is not None else "unknown")
    return f"{told}{', core dumped' if details.core_dumped else ''}{' (requested)' if details.requested else ''}"


def report_document(report: NodeReport) -> Document:
    """The JSON of a report. The keys are always the same; a value that the supervisor does not report is null."""
    details = report.details
    return {
        "state": report.state.name,
        "missing_peers": list(report.missing),
        "role": report.role.name,
        "since": report.since,
        "pid": details.pid if details else None,
        "restarts": details.restarts if details else None,
        "resources": details.resources if details else None,
        "last_exit": last_exit(details) or None,
        "exited_at": details.exited_at if details else None,
        "crash_report": (details.crash_report or None) if details else None,
        "next_start": details.next_start if details else None,
    }


def _absent(one: Absent) -> Document:
    return {
        "state": one.state,
        "role": one.role.name,
        "why": one.why,
        "last": report_document(one.last) if one.last else None,
        "reported_at": one.reported_at,
    }


def _member(instance: str, row: NodeReport | Absent) -> Member:
    return Member(row.node, instance, row.role)
