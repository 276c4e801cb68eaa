"""``zeekfleet restart [NODES]``: restart cluster nodes, all at once or a few at a time."""

from __future__ import annotations

import argparse
import math

from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.nodes import add_nodes, tell_silent
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import NEWS, Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs.restart import view
from zeekfleet.client.verbs.rolling_restart import ROLLING_WAIT
from zeekfleet.errors import CommandLineError

UNAVAILABLE = 1
LONGEST_WAIT = 86400.0


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "restart")
    add_nodes(parser, "Nodes to restart")
    parser.add_argument(
        "--rolling", action="store_true", help="A few at a time, each batch only when all nodes are running."
    )
    parser.add_argument(
        "--max-unavailable",
        metavar="N",
        type=_positive,
        help=f"With --rolling: nodes that may be down at a time (default: {UNAVAILABLE}).",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        help=f"With --rolling: time for a batch to be running again (default: {ROLLING_WAIT:g}).",
    )
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if not args.rolling:
        for option, value in (("--max-unavailable", args.max_unavailable), ("--wait", args.wait)):
            if value is not None:
                raise CommandLineError(f"{option} applies with --rolling only", "zeekfleet restart")
    session = Session(args)
    with session.connected(*NEWS) as controller:
        if args.rolling:
            unavailable = UNAVAILABLE if args.max_unavailable is None else args.max_unavailable
            wait = ROLLING_WAIT if args.wait is None else args.wait
            verb = controller.rolling_restart(args.nodes, max_unavailable=unavailable, wait=wait, now=args.now)
        else:
            verb = controller.restart(args.nodes, now=args.now)
        outcome = result_of(verb)
    session.output.show(outcome.document(), lambda: view(outcome))
    tell_silent(session, outcome.silent)
    return 0 if outcome.ok else 1


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, not '{text}'")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= LONGEST_WAIT:  # also refuses NaN
        raise argparse.ArgumentTypeError(f"expected a number of seconds up to {LONGEST_WAIT:g}, not '{text}'")
    return number
