"""What ``status`` tells: every node's state and history, and the nodes that should run and do not. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from zeekfleet.client.histories import Histories, report_document
from zeekfleet.client.node_groups import Member, members_of, narrow
from zeekfleet.client.results import Document, Failure
from zeekfleet.client.wanted import Absent, Wanted, merged, split
from zeekfleet.model.enums import State
from zeekfleet.model.supervision import NodeReport


class Status(msgspec.Struct, frozen=True):
    """The nodes, or those that were asked for.

    Attributes:
        instances: by instance, its nodes' reports.
        absent: by instance, the nodes that should run there and that nobody reports.
        errors: the instances that could not tell, and nodes that nobody knows.
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
        """The nodes that should run and do."""
        found = (report for reports in self.instances.values() for report in reports)
        return self.names & {report.node for report in found if report.state is State.RUNNING}

    @property
    def ok(self) -> bool:
        """Whether every instance told, and every node that should run does."""
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
        }


def status_of(told: Histories, wanted: Wanted, now: float, nodes: Collection[str] = ()) -> Status:
    """What the instances reported beside what should run.

    Args:
        told: what they reported.
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
