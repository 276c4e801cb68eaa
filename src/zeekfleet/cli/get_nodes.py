"""``zeekfleet get-nodes``: the processes at each instance."""

from __future__ import annotations

import argparse

from zeekfleet.broker.events.controller import GetNodesRequest, GetNodesResponse
from zeekfleet.cli import tables
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client import report, results
from zeekfleet.model.management import fresh_id


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    add_verb(subparsers, "get-nodes", "Show active Zeek nodes at each instance.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected() as connection:
        outcome = results.read_nodes(connection.ask(GetNodesRequest(fresh_id()), GetNodesResponse).results)
    for problem in outcome.malformed:
        session.messages.error(problem)
    session.output.show(report.nodes(outcome), lambda: tables.nodes(outcome))
    return 0 if outcome.ok else 1
