"""``zeekfleet test-timeout``: have the controller let a request time out."""

from __future__ import annotations

import argparse

from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs import test_timeout


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "test-timeout")
    parser.add_argument(
        "--with-state",
        action="store_true",
        help="Let it answer after the time-out. Without this option it never answers.",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb; any answer is a success."""
    session = Session(args)
    with session.connected() as controller:
        result = result_of(controller.test_timeout(with_state=args.with_state))
    session.output.show(test_timeout.document(result), lambda: test_timeout.view(result))
    return 0
