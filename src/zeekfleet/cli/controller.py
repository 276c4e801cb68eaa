"""``zeekfleet controller``: the controller in the foreground."""

from __future__ import annotations

import argparse

from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options
from zeekfleet.cli.purposes import VERBS


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "controller",
        help=VERBS["controller"],
        description="Run a controller in the foreground; SIGTERM or Ctrl-C ends it, agents and nodes run on.",
    )
    add_options(parser, SECTIONS["controller"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop. Returns the exit code."""
    from zeekfleet.daemon import controller, names  # noqa: PLC0415 - the other verbs must not pay for its imports
    from zeekfleet.daemon.run import run as run_daemon  # noqa: PLC0415
    from zeekfleet.model.enums import Role  # noqa: PLC0415

    resolved, roles = resolve_options(args), (Role.CONTROLLER,)
    return run_daemon(resolved.settings.common, lambda stop: controller.serve(names.settled(resolved, roles), stop))
