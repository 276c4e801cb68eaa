"""Turns the verbs' typed results into views for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from zeekfleet.cli.absent import absent_cells, standing_cell, state_cell
from zeekfleet.cli.output import BAD, BUSY, FAINT, GOOD, Cell, Note, Table, View, problem
from zeekfleet.client.results import (
    Checked,
    Deployed,
    Failure,
    IdValues,
    NodeDeployment,
    NodesSeen,
    Restarted,
    Staged,
    role_name,
)
from zeekfleet.client.wanted import Absent, Wanted, merged
from zeekfleet.model.deployments import KEEP, STOP, NodeAction, action_text
from zeekfleet.model.enums import State
from zeekfleet.model.management import Instance, NodeStatus, Result
from zeekfleet.model.supervision import NodeReport
from zeekfleet.model.types import UNSPECIFIED, Port

ABSENT = Cell("-", FAINT)
RUNNING, FAILED, GONE = Cell("running", GOOD), Cell("failed", BAD), Cell("gone", FAINT)
CUT_OFF = Cell("running, cut off", BUSY)


def staged(outcome: Staged) -> View:
    """The id, or what is wrong with the configuration."""
    notes = [problem(error) for error in outcome.errors]
    return [*notes, Note(f"staged configuration {outcome.id}", GOOD)] if outcome.id else notes


def deployed(outcome: Deployed, actions: Iterable[NodeAction] = ()) -> View:
    """A row a node, the outputs of the nodes that failed, and the configuration's id.

    Args:
        outcome: what the controller answered.
        actions: what was done about each node, also about those that are gone, as far as it is known.
    """
    done = {(action.instance, action.node): action for action in actions}
    view: list[Table | Note] = []
    nodes = sorted(outcome.nodes, key=lambda node: (node.instance, node.name))
    results = {(node.instance, node.name): _result(node) for node in nodes}
    gone = {place: GONE for place, action in done.items() if action.action == STOP}
    if rows := [
        (Cell(instance), Cell(node), result, *((_action(done.get((instance, node))),) if done else ()))
        for (instance, node), result in sorted({**gone, **results}.items())
    ]:
        view.append(Table(("INSTANCE", "NODE", "RESULT", *(("CHANGE",) if done else ())), tuple(rows)))
    for node in nodes:
        view += _outputs(node)
    view += [problem(error) for error in outcome.errors]
    if outcome.id:
        failed = sum(not node.success for node in nodes)
        count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
        told = f", {failed} of {count} failed" if failed else f", {count}" if nodes else ""
        view.append(Note(f"deployed configuration {outcome.id}{told}", BAD if failed else GOOD))
    return view


def given_up(told: str) -> View:
    """Which deployment was given up, and what that leaves behind."""
    return [Note(told, BUSY)]


def checked(outcome: Checked) -> View:
    """A row an instance, and every problem that was found."""
    found = {finding.instance for finding in outcome.findings}
    rows = [(Cell(name), Cell("nothing found", GOOD)) for name in outcome.instances]
    rows += [(Cell(name), Cell(why, BUSY)) for name, why in outcome.unchecked.items()]
    rows += [(Cell(name), Cell("problems found", BAD)) for name in found if name is not None]
    view: list[Table | Note] = []
    if rows:
        view.append(Table(("INSTANCE", "RESULT"), tuple(sorted(rows, key=lambda row: row[0].text))))
    view += [problem(finding.error) for finding in outcome.findings]
    if outcome.findings:
        return view
    if outcome.unchecked:
        return [*view, Note("what was checked is sound; the rest was not looked at", BUSY)]
    return [*view, Note("nothing speaks against this configuration", GOOD)]


def nodes(
    outcome: NodesSeen,
    absent: Mapping[str, tuple[Absent, ...]] | None = None,
    reports: Mapping[str, NodeReport] | None = None,
    now: float = 0.0,
) -> View:
    """A row a process, and a row for each node that should run and that no instance reports.

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
                rows.append((Cell(instance), *_status(one, (reports or {}).get(one.node), now)))
    columns = ("INSTANCE", "NODE", "ROLE", "STATE", "PID", "PORT", "METRICS PORT")
    return [*([Table(columns, tuple(rows), essential=4)] if rows else []), *failures(outcome.errors)]


def instances(found: Iterable[Instance], wanted: Wanted | None = None, now: float = 0.0) -> View:
    """A row an instance; a port only where the controller connects to the agent.

    Args:
        found: the connected instances.
        wanted: what should run, if that is known; then instances that should be connected have rows, too.
        now: the time, in seconds since 1970.
    """
    known = {instance.name: instance for instance in found}
    configured = {instance.name: instance for instance in wanted.configuration.instances} if wanted else {}
    rows = tuple(
        (
            Cell(instance.name),
            ABSENT if instance.host == UNSPECIFIED else Cell(str(instance.host)),
            _port(instance.listen_port),
            *([standing_cell(wanted, name, now)] if wanted else []),
        )
        for name, instance in sorted((configured | known).items())
    )
    columns = ("INSTANCE", "HOST", "PORT", *(["STATE"] if wanted else []))
    return [Table(columns, rows)] if rows else [Note("no instances connected", FAINT)]


def id_values(outcome: IdValues) -> View:
    """A node a row."""
    rows = tuple((Cell(node), Cell(_value(outcome.values[node]))) for node in sorted(outcome.values))
    return [*([Table(("NODE", "VALUE"), rows)] if rows else []), *failures(outcome.errors)]


def restarted(outcome: Restarted) -> View:
    """A node a row."""
    rows = tuple(
        (Cell(node), Cell("restarted", GOOD) if outcome.nodes[node] else Cell("failed", BAD))
        for node in sorted(outcome.nodes)
    )
    why = (Failure(reason, node) for node, reason in outcome.reasons.items())
    return [*([Table(("NODE", "RESULT"), rows)] if rows else []), *failures((*why, *outcome.errors))]


def timed_out(result: Result) -> View:
    """The controller's answer."""
    return [Note("success", GOOD) if result.success else Note(f"answered: {result.error}", BUSY)]


def settings(items: dict[str, dict[str, str]], origins: dict[tuple[str, str], str]) -> View:
    """A setting a row, with its origin."""
    rows = tuple(
        (Cell(f"{section}.{key}"), Cell(value), Cell(origins[section, key], FAINT))
        for section, keys in items.items()
        for key, value in keys.items()
    )
    return [Table(("SETTING", "VALUE", "ORIGIN"), rows)]


def failures(found: Iterable[Failure]) -> list[Note]:
    """A line a failure: where, and what."""
    return [
        problem(f"{failure.source}: {failure.error}" if failure.source else str(failure.error)) for failure in found
    ]


def _action(action: NodeAction | None) -> Cell:
    if action is None:
        return ABSENT
    return Cell(action_text(action), FAINT if action.action == KEEP else "")


def _result(node: NodeDeployment) -> Cell:
    """A node that came up has outputs only if it is not connected to all nodes that it must be; they name these."""
    if not node.success:
        return FAILED
    return RUNNING if node.outputs is None else CUT_OFF


def _outputs(node: NodeDeployment) -> Iterable[Note]:
    if node.outputs is None:
        return
    for stream, text in (("stdout", node.outputs.stdout), ("stderr", node.outputs.stderr)):
        if text.strip():
            lines = "\n".join(f"    {line}" for line in text.rstrip().splitlines())
            yield Note(f"{node.name}, {stream}:\n{lines}")


def _status(status: NodeStatus, report: NodeReport | None, now: float) -> tuple[Cell, ...]:
    role = role_name(status.cluster_role) or role_name(status.mgmt_role)
    return (
        Cell(status.node),
        Cell(role.lower()) if role else ABSENT,
        state_cell(status.state, report if report and report.state is status.state else None, now),
        ABSENT if status.pid is None or _is_over(status, report) else Cell(str(status.pid)),
        _port(status.p),
        _port(status.metrics_port),
    )


def _is_over(status: NodeStatus, report: NodeReport | None) -> bool:
    """Whether the process has ended: for a node that failed, the protocol tells the pid of its last process."""
    if status.state not in (State.FAILED, State.CRASHED):
        return False
    return report is None or report.details is None or not report.details.runs


def _port(port: Port | None) -> Cell:
    return ABSENT if port is None else Cell(str(port.number))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
