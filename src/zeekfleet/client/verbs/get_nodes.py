"""The processes at each instance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from zeekfleet.broker.events.controller import GetNodesRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.node_cells import absent_cells, state_cell
from zeekfleet.client.node_groups import Member, narrow
from zeekfleet.client.results import Document, Failure, failures, in_order, role_name
from zeekfleet.client.verbs.resolve import ResolveVerb
from zeekfleet.client.views import ABSENT, Cell, Table, View, port_cell
from zeekfleet.client.wanted import Absent, merged
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.enums import State
from zeekfleet.model.management import NodeStatus, Result, fresh_id
from zeekfleet.model.supervision import NodeReport


class NodesSeen(msgspec.Struct, frozen=True):
    """The processes of every instance, sorted by name, and the instances that could not answer.

    Attributes:
        malformed: the parts of the answer that could not be decoded, one sentence each.
    """

    instances: dict[str, tuple[NodeStatus, ...]]
    errors: tuple[Failure, ...] = ()
    malformed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every instance has answered, and every answer could be decoded."""
        return not self.errors and not self.malformed

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {INSTANCE: {NODE: {...}}}}``."""
        results = {
            instance: {status.node: _document(status) for status in statuses}
            for instance, statuses in self.instances.items()
        }
        return {"results": results, "errors": [failure.document() for failure in self.errors]}


class GetNodesVerb(ResolveVerb):
    """Asks for processes."""

    async def get_nodes(self, nodes: Collection[str] = ()) -> NodesSeen:
        """The processes of every connected instance."""
        response = await self.ask(GetNodesRequest(fresh_id()))
        seen = read_nodes(response.results)
        if not nodes:
            return seen
        rows, errors = narrow(seen.instances, seen.errors, nodes, await self.deployed_nodes(), _member)
        return NodesSeen(rows, errors, seen.malformed)


def read_nodes(results: Iterable[Result]) -> NodesSeen:
    """The processes in a ``get_nodes_response``."""
    instances: dict[str, tuple[NodeStatus, ...]] = {}
    errors: list[Failure] = []
    malformed: list[str] = []
    for result in in_order(results):
        if not result.success:
            errors.append(Failure(result.error, result.instance))
        elif result.data is None:
            errors.append(Failure("result does not contain node status data", result.instance))
        else:
            name = result.instance or ""
            instances[name] = ()
            try:
                found = SECOND.codec.sequence_from_value(result.data, NodeStatus)
            except ValueMismatchError as error:
                malformed.append(f"node status data of instance '{name}' is invalid: {error}")
            else:
                instances[name] = tuple(sorted(found, key=lambda status: status.node))
    return NodesSeen(instances, tuple(errors), tuple(malformed))


def view(
    outcome: NodesSeen,
    absent: Mapping[str, tuple[Absent, ...]] | None = None,
    reports: Mapping[str, NodeReport] | None = None,
    now: float = 0.0,
) -> View:
    """A row for each process, and a row for each node that should run and that no instance reports.

    Args:
        outcome: what the instances reported.
        absent: the nodes that they did not report.
        reports: what else is known of nodes, by name.
        now: the time, in seconds since 1970.
    """
    rows: list[tuple[Cell, ...]] = []
    for instance, found in merged(outcome.instances, absent or {}).items():
        for one in found:
            if isinstance(one, Absent):
                rows.append((*absent_cells(one), ABSENT, ABSENT, ABSENT))
            elif isinstance(one, NodeStatus):
                rows.append((Cell(instance), *_cells(one, (reports or {}).get(one.node), now)))
    columns = ("INSTANCE", "NODE", "ROLE", "STATE", "PID", "PORT", "METRICS PORT")
    return [*([Table(columns, tuple(rows), essential=4)] if rows else []), *failures(outcome.errors)]


def _document(status: NodeStatus) -> Document:
    document: Document = {
        "state": status.state.name,
        "mgmt_role": role_name(status.mgmt_role),
        "cluster_role": role_name(status.cluster_role),
    }
    if status.pid is not None:
        document["pid"] = status.pid
    if status.p is not None:
        document["port"] = status.p.number
    if status.metrics_port is not None:
        document["metrics_port"] = status.metrics_port.number
    return document


def _cells(status: NodeStatus, report: NodeReport | None, now: float) -> tuple[Cell, ...]:
    role = role_name(status.cluster_role) or role_name(status.mgmt_role)
    return (
        Cell(status.node),
        Cell(role.lower()) if role else ABSENT,
        state_cell(status.state, report if report and report.state is status.state else None, now),
        ABSENT if status.pid is None or _is_over(status, report) else Cell(str(status.pid)),
        port_cell(status.p),
        port_cell(status.metrics_port),
    )


def _is_over(status: NodeStatus, report: NodeReport | None) -> bool:
    """Whether the process has ended. For a failed node, the protocol still gives the pid of its last process."""
    if status.state not in (State.FAILED, State.CRASHED):
        return False
    return report is None or report.details is None or not report.details.runs


def _member(instance: str, status: NodeStatus) -> Member:
    return Member(status.node, instance, status.cluster_role)
