"""What is wanted and not there: the nodes of the deployed configuration that no instance tells of, and why.

The controller tells, without asking anybody, who is there and what it last heard of those who are not. A stock
controller of Zeek does not know that question; then what is deployed and what is connected are all there is to compare.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.controller import (
    GetConfigurationRequest,
    GetConfigurationResponse,
    GetInstancesRequest,
    GetInstancesResponse,
)
from zeekfleet.broker.events.presence import PresenceRequest, PresenceResponse
from zeekfleet.cli.output import BAD, BUSY, FAINT, GOOD, Cell, Note
from zeekfleet.cli.session import Connection
from zeekfleet.client import results
from zeekfleet.client.results import role_name
from zeekfleet.errors import RequestFailedError
from zeekfleet.lifecycle.outlook import clock_text
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Result, fresh_id
from zeekfleet.model.presence import InstancePresence
from zeekfleet.model.supervision import NodeReport

R = TypeVar("R")

TONES = {
    State.PENDING: BUSY,
    State.RUNNING: GOOD,
    State.STOPPED: FAINT,
    State.FAILED: BAD,
    State.CRASHED: BAD,
    State.UNKNOWN: BUSY,
}
"""How states look."""


class Absent(msgspec.Struct, frozen=True):
    """A node that is wanted, and that nobody tells of.

    Attributes:
        node: its name.
        instance: where it should be.
        role: its part in the cluster.
        state: ``UNREACHABLE``, ``UNKNOWN`` (its instance cannot tell), or ``MISSING`` (it tells of others only).
        why: the same for a person, such as ``unreachable, last seen 2 min ago``.
        last: what was last heard of it, if anything.
        reported_at: when that was, in seconds since 1970.
    """

    node: str
    instance: str
    role: ClusterRole
    state: str
    why: str
    last: NodeReport | None = None
    reported_at: float | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What should be there, and who is.

    Attributes:
        configuration: what is deployed; empty if nothing is.
        presences: every instance by name, as far as the controller tells; None if it does not know the question.
        connected: the instances that are connected.
        instances: what ``get-instances`` tells, undecoded.
        age: how much later it is here than at the controller, in seconds: by how much clocks differ.
    """

    configuration: Configuration
    presences: dict[str, InstancePresence] | None
    connected: frozenset[str]
    instances: Result
    age: float = 0.0

    @property
    def nodes(self) -> frozenset[str]:
        """The names of all nodes that are wanted."""
        return frozenset(node.name for node in self.configuration.nodes)

    @property
    def reports(self) -> dict[str, NodeReport]:
        """What was last heard of nodes, by name."""
        return {report.node: report for presence in (self.presences or {}).values() for report in presence.reports}

    def absent(self, told: Mapping[str, Collection[str]], now: float) -> dict[str, tuple[Absent, ...]]:
        """The nodes that are not told of, by instance.

        Args:
            told: the names of nodes that each instance has told of; an instance that has not answered is not in it.
            now: the time here, in seconds since 1970.
        """
        found: dict[str, list[Absent]] = {}
        for node in sorted(self.configuration.nodes, key=lambda one: one.name):
            if node.name in told.get(node.instance, ()):
                continue
            presence = (self.presences or {}).get(node.instance)
            state, why = self._reason(node.instance, presence, node.instance in told, now)
            reports = {report.node: report for report in presence.reports} if presence else {}
            found.setdefault(node.instance, []).append(
                Absent(
                    node.name,
                    node.instance,
                    node.role,
                    state,
                    why,
                    reports.get(node.name),
                    presence.reported_at if presence and node.name in reports else None,
                )
            )
        return {instance: tuple(nodes) for instance, nodes in found.items()}

    def away(self, instance: str, now: float) -> str:
        """That an instance's supervisor is away, in words; empty if it is not."""
        presence = (self.presences or {}).get(instance)
        return _away(presence, now) if presence and presence.supervisor_away_since is not None else ""

    def standing(self, instance: str, now: float) -> tuple[str, str]:
        """How an instance is, in words, and their tone."""
        presence = (self.presences or {}).get(instance)
        if instance in self.connected:
            if presence is not None and presence.supervisor_away_since is not None:
                return f"connected, {_away(presence, now)}", BAD
            if presence is not None and presence.silent_since is not None:
                return f"connected, no answer, last heard {ago(self._later(presence.heard_at), now)}", BUSY
            return "connected", GOOD
        return self._reason(instance, presence, False, now)[1], BAD

    def _reason(self, instance: str, presence: InstancePresence | None, answered: bool, now: float) -> tuple[str, str]:
        if presence is None:
            if instance in self.connected:
                return ("MISSING", "missing") if answered else ("UNKNOWN", "unknown, its instance does not answer")
            return "UNREACHABLE", "unreachable"
        if presence.supervisor_away_since is not None:
            return "UNKNOWN", f"unknown, {_away(presence, now)}"
        if not presence.connected:
            seen = presence.gone_since or presence.heard_at
            return "UNREACHABLE", f"unreachable, last seen {ago(self._later(seen), now)}" if seen else (
                "unreachable, never seen"
            )
        if answered:
            return "MISSING", "missing"
        return "UNKNOWN", f"no answer, last heard {ago(self._later(presence.heard_at), now)}"

    def _later(self, moment: float | None) -> float | None:
        return None if moment is None else moment + self.age


def look(connection: Connection, now: float | None = None) -> Wanted:
    """Ask the controller, who answers all of it at once.

    Raises:
        RequestTimeoutError: it does not.
        TransportError: the connection is lost.
    """
    asked = PresenceRequest(fresh_id())
    heard: list[PresenceResponse] = []

    def watch(_: str, event: Event) -> bool:
        if isinstance(event, PresenceResponse) and event.reqid == asked.reqid:
            heard.append(event)
        return False

    # Answered before what is asked next, or never: so nobody waits for a controller that does not know it.
    connection.link.publish(asked)
    instances = connection.ask(GetInstancesRequest(fresh_id()), GetInstancesResponse, watch).result
    deployed = connection.ask(GetConfigurationRequest(fresh_id(), deployed=True), GetConfigurationResponse, watch)
    try:
        configuration = results.read_configuration(deployed.result)
    except RequestFailedError:
        configuration = Configuration()
    if not heard:
        try:
            connected = frozenset(instance.name for instance in results.read_instances(instances))
        except RequestFailedError:
            connected = frozenset()
        return Wanted(configuration, None, connected, instances)
    presences = {presence.name: presence for presence in heard[-1].instances}
    connected = frozenset(name for name, presence in presences.items() if presence.connected)
    age = (time.time() if now is None else now) - heard[-1].now
    return Wanted(configuration, presences, connected, instances, age)


def state_cell(state: State, report: NodeReport | None, now: float, away: str = "") -> Cell:
    """A node's state; of one that failed or crashed, when it is tried next; of one that is unknown, why.

    Args:
        state: it.
        report: what else is known of the node.
        now: the time, in seconds since 1970.
        away: that its instance's supervisor is away, in words, if it is.
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
    """When a node that does not run is tried again, in words; empty if it runs, or nobody knows."""
    details = report.details
    if details is None or details.runs or report.state not in (State.FAILED, State.CRASHED):
        return ""
    if details.next_start is None:
        return "next try never" if details.failed else ""
    return f"next try in {duration(details.next_start - now)}"


def summary(wanted: Collection[str], running: Collection[str]) -> list[Note]:
    """How many of the wanted nodes do not run; nothing if all do."""
    lacking = len(set(wanted) - set(running))
    if not lacking:
        return []
    nodes = "node" if len(wanted) == 1 else "nodes"
    verb = "does" if lacking == 1 else "do"
    return [Note(f"{lacking} of {len(wanted)} {nodes} {verb} not run", BAD)]


def absent_cells(one: Absent) -> tuple[Cell, Cell, Cell, Cell]:
    """Instance, node, role and state."""
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


def ago(moment: float | None, now: float) -> str:
    """Such as ``2 min 5 s ago``."""
    return "never" if moment is None else f"{duration(now - moment)} ago"


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = max(0, int(seconds))
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {lesser}"
    return f"{whole} s"


def merged(
    rows: Mapping[str, tuple[R, ...]], absent: Mapping[str, tuple[Absent, ...]]
) -> dict[str, tuple[R | Absent, ...]]:
    """What is there and what is not, by instance."""
    return {name: (*rows.get(name, ()), *absent.get(name, ())) for name in sorted(rows.keys() | absent.keys())}


def split(
    rows: Mapping[str, tuple[R | Absent, ...]], kind: type[R]
) -> tuple[dict[str, tuple[R, ...]], dict[str, tuple[Absent, ...]]]:
    """The opposite: what is there, of that kind, and what is not."""
    there = {name: tuple(one for one in found if isinstance(one, kind)) for name, found in rows.items()}
    absent = {name: tuple(one for one in found if isinstance(one, Absent)) for name, found in rows.items()}
    return there, absent


def _away(presence: InstancePresence, now: float) -> str:
    return f"its supervisor is away since {clock_text(presence.supervisor_away_since or now, now)}"
