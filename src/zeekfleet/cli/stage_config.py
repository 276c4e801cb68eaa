"""``zeekfleet stage-config FILE``: has the controller store a configuration."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deploying
from zeekfleet.cli.config_file import add_allow_empty, add_file, read_reviewed
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "stage-config")
    add_file(parser)
    add_allow_empty(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    configuration = read_reviewed(args, session.messages)
    with session.connected() as controller:
        return deploying.show_staged(session, result_of(controller.stage(configuration)))
