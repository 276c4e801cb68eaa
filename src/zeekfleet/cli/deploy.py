"""``zeekfleet deploy``: deploy the staged configuration."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deployment
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    add_verb(subparsers, "deploy", "Deploy a staged cluster configuration.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected(deployment.HEARD) as connection:
        return deployment.deploy(session, connection)
