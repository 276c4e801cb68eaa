"""``zeekfleet set-option NAME VALUE [NODES]``: change an option of running cluster nodes."""

from __future__ import annotations

import argparse

from zeekfleet.cli import dispatching
from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.client.verbs.set_option import view


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "set-option")
    parser.add_argument("name", metavar="NAME", help="The option's name, such as Notice::mail_dest.")
    parser.add_argument(
        "value", metavar="VALUE", help="Its new value. Separate elements of sets and vectors by commas."
    )
    add_nodes(parser, "Nodes to change")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    return dispatching.run(args, lambda controller: controller.set_option(args.name, args.value, args.nodes), view)
