"""Nodes' last crash reports."""

from __future__ import annotations

from collections.abc import Iterable

from zeekfleet.broker.events.details import ControllerDiagnosisRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.results import Document
from zeekfleet.client.views import BUSY, GOOD, Note, View, problem
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.management import Result, fresh_id
from zeekfleet.model.supervision import Diagnosis

FIRST = ("summary", "backtrace", "stderr", "stdout")
"""The files that are shown first."""


class DiagVerb(Carrier):
    """Asks for crash reports."""

    async def diag(self, node: str) -> Diagnosis:
        """A node's last crash report, even if the node is not deployed any more; ``path`` is empty if there is none.

        Raises:
            RequestFailedError: there is no such node, or its instance is out of reach.
        """
        request = ControllerDiagnosisRequest(fresh_id(), node)
        return read_diagnosis((await self.ask(request)).result)


def read_diagnosis(result: Result) -> Diagnosis:
    """The answer to a diagnosis request.

    Raises:
        RequestFailedError: there is no such node, or its instance is out of reach.
        ValueMismatchError: the instance sent something else.
    """
    if not result.success or result.data is None:
        reason = result.error or "not known to its instance"
        raise RequestFailedError(result.reqid, f"node '{result.node}': {reason}")
    return SECOND.codec.from_value(result.data, Diagnosis)


def document(found: Diagnosis) -> Document:
    """``{"node", "path", "files": {NAME: TEXT}}``; the path is null if the node has not crashed."""
    return {"node": found.node, "path": found.path or None, "files": found.files}


def view(found: Diagnosis) -> list[Note]:
    """Each file under its name."""
    if not found.path:
        return [Note(f"node {found.node} has not crashed", GOOD)]
    names = [name for name in FIRST if name in found.files]
    names += [
        name for name in found.files if name not in names and not name.endswith(".json")
    ]  # it has the same facts, for programs
    notes = [Note(found.path)]
    for name in names:
        notes += [Note(f"--- {name}", BUSY), Note(found.files[name].rstrip() or "(empty)")]
    return notes


def document_of_all(reports: Iterable[Diagnosis], failures: Iterable[RequestFailedError]) -> Document:
    """``{"errors": [{"error"}], "results": {NODE: {...}}}``."""
    return {
        "results": {found.node: document(found) for found in reports},
        "errors": [{"error": str(failure)} for failure in failures],
    }


def view_of_all(reports: Iterable[Diagnosis], failures: Iterable[RequestFailedError]) -> View:
    """The reports, one after the other, then the nodes for which there is none."""
    notes = [note for found in reports for note in view(found)]
    return [*notes, *(problem(str(failure)) for failure in failures)]
