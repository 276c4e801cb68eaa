"""``zeekfleet stage-config FILE``: have the controller keep a configuration."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deploying
from zeekfleet.cli.config_file import add_allow_empty, add_file, read_cluster_file
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.planning.review import missing_logs, review


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "stage-config")
    add_file(parser)
    add_allow_empty(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    configuration = read_cluster_file(
        args.config, session.messages, instance=args.instance, lax=args.lax, allow_empty=args.allow_empty
    )
    for doubt in (*review(configuration), *missing_logs(configuration)):
        session.messages.warning(doubt)
    with session.connected() as controller:
        return deploying.show_staged(session, result_of(controller.stage(configuration)))
