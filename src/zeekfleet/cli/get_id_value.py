"""``zeekfleet get-id-value ID [NODES]``: the value of a global identifier in cluster nodes."""

from __future__ import annotations

import argparse

from zeekfleet.broker.events.controller import GetIdValueRequest, GetIdValueResponse
from zeekfleet.cli import tables
from zeekfleet.cli.nodes import add_nodes, chosen, tell_unanswered
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client import report, results
from zeekfleet.model.management import fresh_id


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "get-id-value", "Show the value of a global identifier in Zeek cluster nodes.")
    parser.add_argument("id", metavar="IDENTIFIER", help="Name of the Zeek script identifier.")
    add_nodes(parser, "Nodes to ask")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected() as connection:
        nodes = chosen(connection, args.nodes)
        request = GetIdValueRequest(fresh_id(), args.id, nodes)
        outcome = results.read_id_values(connection.ask(request, GetIdValueResponse).results)
    session.output.show(report.id_values(outcome), lambda: tables.id_values(outcome))
    all_told = tell_unanswered(session, nodes, (*outcome.values, *(failure.source for failure in outcome.errors)))
    return 0 if outcome.ok and all_told else 1
