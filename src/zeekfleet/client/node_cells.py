"""Makes cells of tables for the states of nodes and instances, and counts nodes that do not run. Pure."""

from __future__ import annotations

from collections.abc import Collection

from zeekfleet.client.results import role_name
from zeekfleet.client.views import BAD, BUSY, FAINT, GOOD, Cell, Note
from zeekfleet.client.wanted import Absent, Standing, Wanted
from zeekfleet.lifecycle.wording import duration
from zeekfleet.model.enums import State
from zeekfleet.model.supervision import NodeReport

TONES = {
    State.PENDING: BUSY,
    State.RUNNING: GOOD,
    State.STOPPED: FAINT,
    State.FAILED: BAD,
    State.CRASHED: BAD,
    State.UNKNOWN: BUSY,
}
"""The colour of each state."""

_STANDINGS = {Standing.SOUND: GOOD, Standing.DOUBTFUL: BUSY, Standing.BROKEN: BAD}


def standing_cell(wanted: Wanted, instance: str, now: float) -> Cell:
    """Whether an instance is connected, and since when it is not."""
    standing, words = wanted.standing(instance, now)
    return Cell(words, _STANDINGS[standing])


def state_cell(state: State, report: NodeReport | None, now: float, away: str = "") -> Cell:
    """A node's state. For a failed or crashed node it says when it is started next; for an unknown state, why.

    Args:
        state: the state.
        report: what else is known of the node.
        now: the time, in seconds since 1970.
        away: a sentence that the supervisor of the node's instance is away; empty if it is not.
    """
    if state is State.UNKNOWN and away:
        return Cell(f"unknown, {away}", TONES[state])
    if report is None:
        return Cell(state.name.lower(), TONES[state])
    text = report.condition
    if (then := next_try(report, now)) and report.state is state:
        text = f"{text}, {then}"
    return Cell(text, BUSY if report.missing else TONES[state])


def next_try(report: NodeReport, now: float) -> str:
    """When a node that does not run is started again, in words; empty if it runs, or if nobody knows."""
    details = report.details
    if details is None or details.runs or report.state not in (State.FAILED, State.CRASHED):
        return ""
    if details.next_start is None:
        return "next try never" if details.failed else ""
    return f"next try in {duration(details.next_start - now)}"


def summary(wanted: Collection[str], running: Collection[str]) -> list[Note]:
    """A line with the number of nodes that should run but do not; nothing if all run."""
    lacking = len(set(wanted) - set(running))
    if not lacking:
        return []
    nodes = "node" if len(wanted) == 1 else "nodes"
    verb = "does" if lacking == 1 else "do"
    return [Note(f"{lacking} of {len(wanted)} {nodes} {verb} not run", BAD)]


def absent_cells(one: Absent) -> tuple[Cell, Cell, Cell, Cell]:
    """The columns instance, node, role and state of an absent node."""
    return (
        Cell(one.instance),
        Cell(one.node),
        Cell((role_name(one.role) or "-").lower()),
        Cell(f"{one.why}{_last_state(one)}", BAD if one.state != "UNKNOWN" else BUSY),
    )


def _last_state(one: Absent) -> str:
    if one.last is None or one.state == "MISSING" or one.last.state is State.UNKNOWN:
        return ""
    return f" ({one.last.condition})"
