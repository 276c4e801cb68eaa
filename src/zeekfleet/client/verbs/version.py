"""Which release of zeekfleet each process of a fleet runs, and which Zeek each node runs (``version --all``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from zeekfleet.broker.events.releases import ControllerReleasesRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.results import Document, Failure, failures
from zeekfleet.client.verbs.get_id_value import GetIdValueVerb
from zeekfleet.client.views import ABSENT, BUSY, Cell, Note, Table, View
from zeekfleet.model.management import Result, fresh_id
from zeekfleet.model.releases import PartRelease

ZEEK_VERSION = "Version::info"
"""The global variable of every Zeek, and of a simulated node, that holds its version."""

NOT_TOLD = "unknown id"
"""The answer of a simulated node of an older release, which does not know this variable."""

NOTHING_DEPLOYED = "no cluster deployed"
"""The controller's answer if there are no nodes; here that is not a failure."""


class Releases(msgspec.Struct, frozen=True):
    """The releases that run.

    Attributes:
        parts: the processes of each instance, by its name; the controller's own under ``""``.
        nodes: the version of each node's Zeek, by the node's name.
        errors: the instances and nodes that could not answer.
    """

    parts: dict[str, tuple[PartRelease, ...]]
    nodes: dict[str, str]
    errors: tuple[Failure, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every instance and node has answered."""
        return not self.errors

    def document(self) -> Document:
        """``{"parts": {INSTANCE: {PART: {...}}}, "nodes": {NODE: VERSION}, "errors": [{"source", "error"}]}``."""
        return {
            "parts": {
                instance: {part.part: _document(part) for part in parts} for instance, parts in self.parts.items()
            },
            "nodes": self.nodes,
            "errors": [failure.document() for failure in self.errors],
        }


class VersionVerb(GetIdValueVerb):
    """Asks for releases."""

    async def releases(self) -> Releases:
        """Which release every part of the fleet runs, and which Zeek every node."""
        request = ControllerReleasesRequest(fresh_id())
        told = (await self.ask(request)).results
        values = await self.get_id_value(ZEEK_VERSION)
        missing = [failure for failure in values.errors if failure.error != NOTHING_DEPLOYED]
        return read_releases(told, values.values, missing)


def read_releases(results: Iterable[Result], versions: Mapping[str, Any], failures: Iterable[Failure]) -> Releases:
    """The answers to a releases request, and those for the nodes' versions.

    Args:
        results: the controller's result, and one for each instance.
        versions: by node, the value of :data:`ZEEK_VERSION`.
        failures: the failures of nodes that did not answer.

    Raises:
        ValueMismatchError: an instance sent something else.
    """
    parts: dict[str, tuple[PartRelease, ...]] = {}
    errors = []
    for result in results:
        if result.success and result.data is not None:
            parts[result.instance or ""] = SECOND.codec.sequence_from_value(result.data, PartRelease)
        else:
            errors.append(Failure(result.error, result.instance))
    nodes = {name: _version(value) for name, value in versions.items()}
    for failure in failures:
        if failure.error == NOT_TOLD and failure.source:
            nodes[failure.source] = _version(None)
        else:
            errors.append(failure)
    return Releases(dict(sorted(parts.items())), dict(sorted(nodes.items())), tuple(errors))


def _version(value: Any) -> str:
    text = value.get("version_string") if isinstance(value, dict) else None
    return str(text) if text else "unknown"


def _document(part: PartRelease) -> Document:
    return {"pid": part.pid, "version": part.version, "build": part.build, "place": part.place, "python": part.python}


def view(outcome: Releases) -> View:
    """A row for each part, then a row for each node, and a note if the parts do not all run the same build."""
    rows = tuple(_row(instance, part) for instance, parts in outcome.parts.items() for part in parts)
    tables: list[Table | Note] = [Table(("INSTANCE", "PART", "RELEASE", "BUILD", "PID", "PLACE"), rows)]
    if outcome.nodes:
        nodes = tuple((Cell(name), Cell(version)) for name, version in outcome.nodes.items())
        tables.append(Table(("NODE", "ZEEK"), nodes))
    builds = {part.build for parts in outcome.parts.values() for part in parts}
    if len(builds) > 1:
        tables.append(Note(f"{len(builds)} different builds run: an upgrade is not complete", BUSY))
    return [*tables, *failures(outcome.errors)]


def _row(instance: str, part: PartRelease) -> tuple[Cell, ...]:
    return (
        Cell(instance) if instance else ABSENT,
        Cell(part.part),
        Cell(part.version) if part.version else Cell("a former one", BUSY),
        Cell(part.build) if part.build else ABSENT,
        Cell(str(part.pid)),
        Cell(part.place) if part.place else ABSENT,
    )
