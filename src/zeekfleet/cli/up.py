"""``zeekfleet up [INI]``: a whole cluster on one host, in the foreground."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "up",
        help="run supervisor, controller and agent, and deploy a configuration",
        description="Run a supervisor, and below it a controller, an agent and their nodes, in the foreground;"
        " with INI, deploy it and show what came of it. SIGTERM or Ctrl-C stops all of it in order.",
    )
    parser.add_argument("config", metavar="INI", nargs="?", type=Path, help="cluster configuration to deploy")
    add_options(parser, SECTIONS["up"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; the exit code."""
    from zeekfleet.cli import up_tree  # noqa: PLC0415 - the other verbs must not pay for its imports

    code: int = up_tree.run(args, up_tree.joined(resolve_options(args)))
    return code
