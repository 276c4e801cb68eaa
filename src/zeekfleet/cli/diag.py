"""``zeekfleet diag NODES``: the nodes' last crash reports."""

from __future__ import annotations

import argparse

from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs import diag
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.supervision import Diagnosis


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "diag", "Show the last crash report of cluster nodes, also of one that has left.")
    add_nodes(parser, "Nodes", others="")


def run(args: argparse.Namespace) -> int:
    """Run the verb. With ``--json``, a single named node gives its own document; for several, there is one for all."""
    session = Session(args)
    with session.connected() as controller:
        names = result_of(controller.resolve(args.nodes))
        if names == set(args.nodes) and len(names) == 1:
            found = result_of(controller.diag(args.nodes[0]))
            session.output.show(diag.document(found), lambda: diag.view(found))
            return 0
        reports: list[Diagnosis] = []
        failures: list[RequestFailedError] = []
        for name in sorted(names):
            try:
                reports.append(result_of(controller.diag(name)))
            except RequestFailedError as error:
                failures.append(error)
    session.output.show(diag.document_of_all(reports, failures), lambda: diag.view_of_all(reports, failures))
    return 1 if failures else 0
