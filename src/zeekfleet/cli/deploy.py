"""``zeekfleet deploy``: deploy the staged configuration."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deploying
from zeekfleet.cli.config_file import add_allow_empty, without_nodes
from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import BlockingClient, result_of
from zeekfleet.client.verbs.deploy import given_up
from zeekfleet.errors import CommandLineError, ConfigurationError, RequestFailedError
from zeekfleet.model.management import Configuration


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "deploy")
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
        return _abort(session)
    first: Configuration | None = None

    def deploy(controller: BlockingClient) -> int:
        nonlocal first
        staged = _staged(controller)
        if staged is not None and not staged.nodes and not args.allow_empty:
            raise without_nodes("the staged configuration")
        if first is not None and staged is not None and staged.id != first.id:
            raise ConfigurationError(f"meanwhile configuration {staged.id} was staged, which is not deployed")
        first = staged
        return deploying.deploy(session, controller, staged, now=args.now)

    return deploying.insist(session, deploy)


def _abort(session: Session) -> int:
    """Have the controller give up the current deployment, and show what remains changed. Returns the exit code."""
    with session.connected() as controller:
        told = result_of(controller.abort_deployment())
    session.output.show({"errors": [], "results": {"given_up": told}}, lambda: given_up(told))
    return 0


def _staged(controller: BlockingClient) -> Configuration | None:
    """The staged configuration; None if there is none, which the response to the deployment will say."""
    try:
        return result_of(controller.get_configuration())
    except RequestFailedError:
        return None
