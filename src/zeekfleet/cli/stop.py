"""``zeekfleet stop``: stops all that zeekfleet runs on this host."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeekfleet.cli.daemon_options import add_options, resolve_options
from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.messages import INFORMATION, Messages
from zeekfleet.cli.purposes import VERBS

TIMEOUT = 600.0
"""The most seconds that a daemon may take to end. A logger with much to write takes long."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "stop",
        help=VERBS["stop"],
        description="Stop the daemon of the state directory and all its nodes, in order, even if --on-exit says to keep"
        " them. This includes nodes that have outlived their daemon, and a controller that runs by itself.",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=TIMEOUT,
        help=f"how long to wait for a daemon to end (default: {TIMEOUT:g})",
    )
    add_now(parser)
    add_options(parser, ("common",), only=("common.state_dir",))
    parser.set_defaults(run=run, client_options=("--quiet",))


def run(args: argparse.Namespace) -> int:
    """Stop all. Returns the exit code."""
    import asyncio  # noqa: PLC0415 - the other verbs must not pay for its imports

    from zeekfleet.daemon.stopping import stop_all  # noqa: PLC0415

    settings = resolve_options(args).settings
    state = Path(settings.common.state_dir)
    messages = Messages(quiet=args.quiet, verbosity=INFORMATION)
    stopped = asyncio.run(stop_all(state, args.timeout, messages.information, now=args.now))
    print(f"stopped: {', '.join(stopped)}" if stopped else f"nothing runs in {state}")
    return 0
