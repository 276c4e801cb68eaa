"""``zeekfleet status``: the nodes, since when they are in their state, and what happened to them before."""

from __future__ import annotations

import argparse

from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs.status import view

NOT_RUNNING = 3
"""The exit code if a node does not run that should."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "status")
    add_nodes(parser, "Nodes to show")


def run(args: argparse.Namespace) -> int:
    """Run the verb; the exit code is 3 if a node does not run that should."""
    session = Session(args)
    with session.connected() as controller:
        outcome = result_of(controller.status(args.nodes))
    session.output.show(outcome.document(), lambda: view(outcome))
    if outcome.running != outcome.names:
        return NOT_RUNNING
    return 0 if outcome.ok else 1
