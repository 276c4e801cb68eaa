"""Would a configuration work?"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeekfleet.broker import values
from zeekfleet.broker.events.checks import ControllerCheckRequest
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.results import NO_REASON, Document, in_order
from zeekfleet.client.views import BAD, BUSY, GOOD, Cell, Note, Table, View, problem
from zeekfleet.model.management import Configuration, Result, fresh_id


class Finding(msgspec.Struct, frozen=True):
    """A problem that would occur: a sentence, and the nodes that it concerns, if any."""

    error: str
    instance: str | None = None
    nodes: tuple[str, ...] = ()

    def document(self) -> Document:
        """``{"error"}``, and ``"instance"`` and ``"nodes"`` where they are known."""
        document: Document = {"error": self.error}
        if self.instance is not None:
            document["instance"] = self.instance
        if self.nodes:
            document["nodes"] = list(self.nodes)
        return document


class Checked(msgspec.Struct, frozen=True):
    """The outcome of a check.

    Attributes:
        findings: what would go wrong.
        instances: the names of the instances that checked it and found no problem.
        unchecked: by instance, why it could not check the configuration.
    """

    findings: tuple[Finding, ...]
    instances: tuple[str, ...] = ()
    unchecked: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def document(self) -> Document:
        """``{"errors": [{"error", ...}], "results": {"checked": [NAME], "unchecked": {NAME: WHY}}}``."""
        return {
            "errors": [finding.document() for finding in self.findings],
            "results": {"checked": list(self.instances), "unchecked": dict(self.unchecked)},
        }


class CheckVerb(Carrier):
    """Checks configurations."""

    async def check(self, configuration: Configuration, *, timeout: float | None = None) -> Checked:
        """Have the controller validate a configuration, and its instances check it; nothing is staged or touched."""
        request = ControllerCheckRequest(fresh_id(), configuration)
        response = await self.ask(request, timeout=timeout)
        return read_checked(response.results)


def read_checked(results: Iterable[Result]) -> Checked:
    """The outcome in a ``check_response``."""
    findings: list[Finding] = []
    instances: list[str] = []
    unchecked: dict[str, str] = {}
    for result in in_order(results):
        if not result.success:
            names = result.data.data if isinstance(result.data, values.Vector) else ()
            nodes = tuple(name.data for name in names if isinstance(name, values.String))
            findings.append(Finding(result.error or NO_REASON, result.instance, nodes))
        elif result.instance is not None and isinstance(result.data, values.String):
            unchecked[result.instance] = result.data.data
        elif result.instance is not None:
            instances.append(result.instance)
    return Checked(tuple(findings), tuple(instances), unchecked)


def view(outcome: Checked) -> View:
    """A row for each instance, and every problem that was found."""
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
