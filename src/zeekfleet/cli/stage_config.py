"""``zeekfleet stage-config FILE``: have the controller keep a configuration."""

from __future__ import annotations

import argparse

from zeekfleet.cli import deployment
from zeekfleet.cli.config_file import read_cluster_file
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "stage-config", "Upload a cluster configuration for later deployment.")
    parser.add_argument("config", metavar="FILE", help='Cluster configuration file, "-" for stdin.')


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    configuration = read_cluster_file(args.config, session.messages)
    with session.connected() as connection:
        return deployment.show_staged(session, deployment.stage(connection, configuration))
