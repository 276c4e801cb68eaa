"""``zeekfleet deploy-config FILE``: stage a configuration, then deploy it."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deploying
from zeekfleet.cli.config_file import add_allow_empty, add_file, read_reviewed
from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import BlockingClient, result_of


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "deploy-config")
    add_file(parser)
    add_allow_empty(parser)
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb; the outcome of staging is shown only if it failed."""
    session = Session(args)
    configuration = read_reviewed(args, session.messages)

    def deploy(controller: BlockingClient) -> int:
        staged = result_of(controller.stage(configuration))
        if not staged.ok:
            return deploying.show_staged(session, staged)
        return deploying.deploy(session, controller, configuration, now=args.now)

    return deploying.insist(session, deploy)
