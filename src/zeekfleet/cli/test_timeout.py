"""``zeekfleet test-timeout``: have the controller let a request time out."""

from __future__ import annotations

import argparse

from zeekfleet.broker.events.controller import TestTimeoutRequest, TestTimeoutResponse
from zeekfleet.cli import tables
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client import report
from zeekfleet.model.management import fresh_id


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "test-timeout", "Have the controller let a request time out.")
    parser.add_argument("--with-state", action="store_true", help="Have it answer then; without, it stays silent.")


def run(args: argparse.Namespace) -> int:
    """Run the verb; any answer is a success."""
    session = Session(args)
    with session.connected() as connection:
        result = connection.ask(TestTimeoutRequest(fresh_id(), args.with_state), TestTimeoutResponse).result
    session.output.show(report.timed_out(result), lambda: tables.timed_out(result))
    return 0
