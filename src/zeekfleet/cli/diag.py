"""``zeekfleet diag NODE``: a node's last crash report."""

from __future__ import annotations

import argparse

from zeekfleet.broker.events.details import ControllerDiagnosisRequest, ControllerDiagnosisResponse
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.output import BUSY, GOOD, Note, View
from zeekfleet.cli.session import Session
from zeekfleet.client.histories import read_diagnosis
from zeekfleet.model.management import fresh_id
from zeekfleet.model.supervision import Diagnosis

FIRST = ("summary", "backtrace", "stderr", "stdout")
"""What a person wants to see first."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "diag", "Show the last crash report of a cluster node.")
    parser.add_argument("node", metavar="NODE", help="The node.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected() as connection:
        request = ControllerDiagnosisRequest(fresh_id(), args.node)
        found = read_diagnosis(connection.ask(request, ControllerDiagnosisResponse).result)
    document = {"node": found.node, "path": found.path or None, "files": found.files}
    session.output.show(document, lambda: view(found))
    return 0


def view(found: Diagnosis) -> View:
    """Each file under its name."""
    if not found.path:
        return [Note(f"node {found.node} has not crashed", GOOD)]
    names = [name for name in FIRST if name in found.files]
    names += [name for name in found.files if name not in names and not name.endswith(".json")]  # the same for machines
    notes = [Note(found.path)]
    for name in names:
        notes += [Note(f"--- {name}", BUSY), Note(found.files[name].rstrip() or "(empty)")]
    return notes
