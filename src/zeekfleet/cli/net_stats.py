"""``zeekfleet net-stats [NODES]``: packets and bytes of cluster nodes."""

from __future__ import annotations

import argparse

from zeekfleet.cli import dispatching
from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.client.verbs.net_stats import view


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "net-stats")
    add_nodes(parser, "Nodes to ask")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    return dispatching.run(args, lambda controller: controller.net_stats(args.nodes), view)
