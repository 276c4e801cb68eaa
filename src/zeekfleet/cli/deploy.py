"""``zeekfleet deploy``: deploy the staged configuration."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deployment
from zeekfleet.cli.config_file import add_allow_empty, without_nodes
from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.errors import CommandLineError


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "deploy", "Deploy a staged cluster configuration.")
    parser.add_argument(
        "--abort", action="store_true", help="Give up the deployment that is under way, whoever asked for it."
    )
    add_allow_empty(parser)
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.abort and (args.now or args.allow_empty):
        option = "--now" if args.now else "--allow-empty"
        raise CommandLineError(f"{option} does not apply with --abort, which deploys nothing", "zeekfleet deploy")
    session = Session(args)
    if args.abort:
        with session.connected() as connection:
            return deployment.abort(session, connection)
    with session.connected(*deployment.HEARD) as connection:
        connection.is_hurried = args.now
        staged = deployment.staged(connection)
        if staged is not None and not staged.nodes and not args.allow_empty:
            raise without_nodes("the staged configuration")
        return deployment.deploy(session, connection, staged)
