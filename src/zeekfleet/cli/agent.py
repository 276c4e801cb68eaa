"""``zeekfleet agent``: an agent; its supervisor runs in the foreground."""

from __future__ import annotations

import argparse

from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options
from zeekfleet.cli.purposes import VERBS


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "agent",
        help=VERBS["agent"],
        description="Run an instance in the foreground: a supervisor, and below it the agent and its nodes."
        " SIGTERM or Ctrl-C stops them all in order.",
    )
    add_options(parser, SECTIONS["agent"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; the exit code."""
    from zeekfleet.daemon import names, tree  # noqa: PLC0415 - the other verbs must not pay for its imports
    from zeekfleet.daemon.controller_address import parse_controller  # noqa: PLC0415
    from zeekfleet.daemon.run import run as run_daemon  # noqa: PLC0415
    from zeekfleet.model.enums import Role  # noqa: PLC0415

    resolved, roles = resolve_options(args), (Role.AGENT,)
    parse_controller(resolved.settings.agent.controller)
    return run_daemon(resolved.settings.common, lambda stop: tree.serve(names.settled(resolved, roles), roles, stop))
