"""``zeekfleet restart [NODES]``: restart cluster nodes."""

from __future__ import annotations

import argparse

from zeekfleet.broker.events.controller import RestartRequest, RestartResponse
from zeekfleet.cli import deployment, tables
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client import report, results
from zeekfleet.model.management import fresh_id


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "restart", "Restart cluster nodes.")
    parser.add_argument("nodes", metavar="NODES", nargs="*", default=[], help="Nodes to restart; all when omitted.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected(deployment.HEARD) as connection:
        request = RestartRequest(fresh_id(), frozenset(args.nodes))
        outcome = results.read_restarted(connection.ask(request, RestartResponse, deployment.is_progress).results)
    session.output.show(report.restarted(outcome), lambda: tables.restarted(outcome))
    return 0 if outcome.ok else 1
