"""``zeekfleet diag NODES``: the nodes' last crash reports."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.output import BUSY, GOOD, Note, View, problem
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.supervision import Diagnosis

FIRST = ("summary", "backtrace", "stderr", "stdout")
"""The files that are shown first."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "diag", "Show the last crash report of cluster nodes, also of one that has left.")
    add_nodes(parser, "Nodes", others="")


def run(args: argparse.Namespace) -> int:
    """Run the verb; a single node that is named has a document of its own, several share one."""
    session = Session(args)
    with session.connected() as controller:
        names = result_of(controller.resolve(args.nodes))
        if names == set(args.nodes) and len(names) == 1:
            found = result_of(controller.diag(args.nodes[0]))
            session.output.show(_document(found), lambda: view(found))
            return 0
        reports: list[Diagnosis] = []
        failures: list[RequestFailedError] = []
        for name in sorted(names):
            try:
                reports.append(result_of(controller.diag(name)))
            except RequestFailedError as error:
                failures.append(error)
    document = {
        "results": {found.node: _document(found) for found in reports},
        "errors": [{"error": str(failure)} for failure in failures],
    }
    session.output.show(document, lambda: _view_of_all(reports, failures))
    return 1 if failures else 0


def _document(found: Diagnosis) -> dict[str, object]:
    return {"node": found.node, "path": found.path or None, "files": found.files}


def _view_of_all(reports: Iterable[Diagnosis], failures: Iterable[RequestFailedError]) -> View:
    notes = [note for found in reports for note in view(found)]
    return [*notes, *(problem(str(failure)) for failure in failures)]


def view(found: Diagnosis) -> View:
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
