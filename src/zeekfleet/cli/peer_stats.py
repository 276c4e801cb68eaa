"""``zeekfleet peer-stats [NODES]``: whom cluster nodes are connected to."""

from __future__ import annotations

import argparse

from zeekfleet.cli import dispatching
from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.client.verbs.peer_stats import view


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "peer-stats")
    add_nodes(parser, "Nodes to ask")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    return dispatching.run(args, lambda controller: controller.peer_stats(args.nodes), view)
