"""``zeekfleet up [INI]``: a whole cluster on one host, in the foreground."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeekfleet.cli.config_file import add_allow_empty
from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options
from zeekfleet.cli.purposes import VERBS
from zeekfleet.errors import SettingsError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "up",
        help=VERBS["up"],
        description="Run a supervisor, and below it a controller, an agent and their nodes, in the foreground;"
        " with INI, deploy it and show what came of it. SIGTERM or Ctrl-C stops all of it in order.",
    )
    parser.add_argument("config", metavar="INI", nargs="?", type=Path, help="cluster configuration to deploy")
    parser.add_argument("--lax", action="store_true", help="only warn of unknown keys in INI")
    add_allow_empty(parser)
    parser.add_argument(
        "--pcap",
        metavar="FILE",
        type=Path,
        default=None,
        help="run a manager, a logger, a proxy and a worker over this trace and end when it is read; logs go to ./logs",
    )
    add_options(parser, SECTIONS["up"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop. Returns the exit code."""
    from zeekfleet.cli import up_trace, up_tree  # noqa: PLC0415 - the other verbs must not pay for their imports

    if args.pcap is not None and args.config is not None:
        raise SettingsError("--pcap", "makes a configuration of its own, so it cannot be used with INI")
    if args.config is None:
        for option, is_given in (("--lax", args.lax), ("--allow-empty", args.allow_empty)):
            if is_given:
                raise SettingsError(option, "applies with INI only")
    if args.pcap is not None:
        return up_trace.run(args.pcap, resolve_options(args))
    code: int = up_tree.run(args, up_tree.joined(resolve_options(args)))
    return code
