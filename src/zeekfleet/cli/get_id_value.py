"""``zeekfleet get-id-value ID [NODES]``: the value of a global identifier in cluster nodes."""

from __future__ import annotations

import argparse

from zeekfleet.cli.nodes import add_nodes, tell_silent
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs.get_id_value import view


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "get-id-value")
    parser.add_argument("id", metavar="IDENTIFIER", help="Name of the Zeek script identifier.")
    add_nodes(parser, "Nodes to ask")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected() as controller:
        outcome = result_of(controller.get_id_value(args.id, args.nodes))
    session.output.show(outcome.document(), lambda: view(outcome))
    tell_silent(session, outcome.silent)
    return 0 if outcome.ok else 1
