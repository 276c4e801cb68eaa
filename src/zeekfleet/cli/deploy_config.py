"""``zeekfleet deploy-config FILE``: stage a configuration, then deploy it."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deploying
from zeekfleet.cli.config_file import add_allow_empty, add_file, read_reviewed
from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import NEWS, PATIENCE, REVIVAL, Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.link import Retry
from zeekfleet.errors import ConnectionLostError
from zeekfleet.model.management import Configuration

ATTEMPTS = 3
"""How often a deployment is asked for if its controller dies meanwhile."""


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
    for patience in (PATIENCE, *[REVIVAL] * (ATTEMPTS - 2)):
        try:
            return _deploy(session, configuration, patience, now=args.now)
        except ConnectionLostError as error:
            # A controller that is started again deploys the former configuration, which is not what was asked for.
            session.messages.warning(f"{error}; the deployment is asked for again")
    return _deploy(session, configuration, REVIVAL, now=args.now)


def _deploy(session: Session, configuration: Configuration, patience: Retry, *, now: bool) -> int:
    with session.connected(*NEWS, patience=patience) as controller:
        staged = result_of(controller.stage(configuration))
        if not staged.ok:
            return deploying.show_staged(session, staged)
        return deploying.deploy(session, controller, configuration, now=now)
