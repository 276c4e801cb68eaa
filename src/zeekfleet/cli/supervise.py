"""``zeekfleet supervise FILE``: runs a set of nodes, without a cluster, agent or controller."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options
from zeekfleet.cli.purposes import VERBS


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "supervise",
        help=VERBS["supervise"],
        description="Run the [[node]] tables of FILE as supervised processes, in the foreground;"
        " SIGTERM or Ctrl-C stops them all in order. If the state directory is not set by an option, it is the file's"
        " state_dir, else FILE.state beside the file.",
    )
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="the nodes, in TOML (or JSON, if its name ends in .json)"
    )
    parser.add_argument("--echo", action="store_true", help="repeat the nodes' output")
    add_options(parser, SECTIONS["supervise"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Supervise until told to stop. Returns the exit code."""
    from zeekfleet.cli import supervise_tree  # noqa: PLC0415 - the other verbs must not pay for its imports

    return supervise_tree.run(args.file, args.echo, resolve_options(args))
