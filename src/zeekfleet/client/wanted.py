"""Compares what should run with what runs: finds deployed nodes that no instance reports, and why.

Our controller knows which instances are connected, and what it last heard of the others. Zeek's own controller does not
know this request; then only the deployed configuration and the connected instances can be compared.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from zeekfleet.lifecycle.wording import ago, clock_text
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Configuration, Result
from zeekfleet.model.presence import InstancePresence
from zeekfleet.model.supervision import NodeReport

R = TypeVar("R")


class Standing(enum.Enum):
    """Whether an instance is connected and answers."""

    SOUND = "sound"
    DOUBTFUL = "doubtful"
    BROKEN = "broken"


class Absent(msgspec.Struct, frozen=True):
    """A deployed node that no instance reports.

    Attributes:
        node: its name.
        instance: the instance that should run it.
        role: its role in the cluster.
        state: ``UNREACHABLE``, ``UNKNOWN`` (its instance does not answer), or ``MISSING`` (its instance reports other
            nodes, but not this one).
        why: the same for a person, such as ``unreachable, last seen 2 min ago``.
        last: its last report; None if there is none.
        reported_at: when that was sent, in seconds since 1970.
    """

    node: str
    instance: str
    role: ClusterRole
    state: str
    why: str
    last: NodeReport | None = None
    reported_at: float | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What should run, and which instances are connected.

    Attributes:
        configuration: the deployed configuration; empty if nothing is deployed.
        presences: the presence of every instance, by name; None if the controller does not know this request.
        connected: the names of the connected instances.
        instances: the answer to ``get_instances_request``, not decoded yet.
        age: how many seconds this host's clock is ahead of the controller's.
        insecure: whether the controller serves other hosts that show no certificate.
    """

    configuration: Configuration
    presences: dict[str, InstancePresence] | None
    connected: frozenset[str]
    instances: Result
    age: float = 0.0
    insecure: bool = False

    @property
    def nodes(self) -> frozenset[str]:
        """The names of all nodes that should run."""
        return frozenset(node.name for node in self.configuration.nodes)

    @property
    def reports(self) -> dict[str, NodeReport]:
        """The last report of each node, by name."""
        return {report.node: report for presence in (self.presences or {}).values() for report in presence.reports}

    def absent(self, told: Mapping[str, Collection[str]], now: float) -> dict[str, tuple[Absent, ...]]:
        """The nodes that should run and that no instance reports, by instance.

        Args:
            told: by instance, the names of the nodes that it reports; without the instances that have not answered.
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
        """A sentence that the instance's supervisor is away; empty if it is not."""
        presence = (self.presences or {}).get(instance)
        return _away(presence, now) if presence and presence.supervisor_away_since is not None else ""

    def standing(self, instance: str, now: float) -> tuple[Standing, str]:
        """Whether an instance is connected and answers, and the same in words."""
        presence = (self.presences or {}).get(instance)
        if instance not in self.connected:
            return Standing.BROKEN, self._reason(instance, presence, False, now)[1]
        if presence is not None and presence.supervisor_away_since is not None:
            return Standing.BROKEN, f"connected, {_away(presence, now)}"
        if presence is not None and presence.silent_since is not None:
            return Standing.DOUBTFUL, f"connected, no answer, last heard {ago(self._later(presence.heard_at), now)}"
        return Standing.SOUND, "connected"

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


def merged(
    rows: Mapping[str, tuple[R, ...]], absent: Mapping[str, tuple[Absent, ...]]
) -> dict[str, tuple[R | Absent, ...]]:
    """By instance, its reported and its absent nodes in one list."""
    return {name: (*rows.get(name, ()), *absent.get(name, ())) for name in sorted(rows.keys() | absent.keys())}


def split(
    rows: Mapping[str, tuple[R | Absent, ...]], kind: type[R]
) -> tuple[dict[str, tuple[R, ...]], dict[str, tuple[Absent, ...]]]:
    """The reverse of :func:`merged`: the rows of the given kind, and the absent nodes."""
    there = {name: tuple(one for one in found if isinstance(one, kind)) for name, found in rows.items()}
    absent = {name: tuple(one for one in found if isinstance(one, Absent)) for name, found in rows.items()}
    return there, absent


def _away(presence: InstancePresence, now: float) -> str:
    return f"its supervisor is away since {clock_text(presence.supervisor_away_since or now, now)}"
