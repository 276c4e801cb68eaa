"""``zeekfleet deploy``: deploy the staged configuration."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deployment
from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "deploy", "Deploy a staged cluster configuration.")
    parser.add_argument(
        "--abort", action="store_true", help="Give up the deployment that is under way, whoever asked for it."
    )
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    if args.abort:
        with session.connected() as connection:
            return deployment.abort(session, connection)
    with session.connected(*deployment.HEARD) as connection:
        connection.is_hurried = args.now
        return deployment.deploy(session, connection)
