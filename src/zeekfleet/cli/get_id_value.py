"""``zeekfleet get-id-value ID [NODES]``: the value of a global identifier in cluster nodes."""

from __future__ import annotations

import argparse

from zeekfleet.broker.events.controller import GetIdValueRequest, GetIdValueResponse
from zeekfleet.cli import tables
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client import report, results
from zeekfleet.model.management import fresh_id


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "get-id-value", "Show the value of a global identifier in Zeek cluster nodes.")
    parser.add_argument("id", metavar="IDENTIFIER", help="Name of the Zeek script identifier.")
    parser.add_argument("nodes", metavar="NODES", nargs="*", default=[], help="Nodes to ask; all when omitted.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected() as connection:
        request = GetIdValueRequest(fresh_id(), args.id, frozenset(args.nodes))
        outcome = results.read_id_values(connection.ask(request, GetIdValueResponse).results)
    session.output.show(report.id_values(outcome), lambda: tables.id_values(outcome))
    return 0 if outcome.ok else 1
