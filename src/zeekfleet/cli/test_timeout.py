"""``zeekfleet test-timeout``: have the controller let a request time out."""

from __future__ import annotations

import argparse

from zeekfleet.cli import tables
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "test-timeout")
    parser.add_argument("--with-state", action="store_true", help="Have it answer then; without, it stays silent.")


def run(args: argparse.Namespace) -> int:
    """Run the verb; any answer is a success."""
    session = Session(args)
    with session.connected() as controller:
        result = result_of(controller.test_timeout(with_state=args.with_state))
    document = {"success": result.success, "error": result.error}
    session.output.show(document, lambda: tables.timed_out(result))
    return 0
