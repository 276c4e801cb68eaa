"""``zeekfleet agent``: an agent; its supervisor runs in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Container, Sequence
from pathlib import Path

from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options
from zeekfleet.cli.messages import Messages
from zeekfleet.cli.purposes import VERBS
from zeekfleet.errors import PkiError, SettingsError
from zeekfleet.model.variables import JOIN
from zeekfleet.resolution import Resolved


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "agent",
        help=VERBS["agent"],
        description="Run an instance in the foreground: a supervisor, and below it the agent and its nodes."
        " SIGTERM or Ctrl-C stops them all in order.",
    )
    joining = parser.add_argument_group("joining a fleet", "The token is one of 'zeekfleet token create agent NAME'.")
    way = joining.add_mutually_exclusive_group()
    way.add_argument(
        "--join",
        metavar="TOKEN",
        help="Get a certificate from the controller for this token, unless there is one already [ZEEKFLEET_JOIN]",
    )
    way.add_argument("--join-file", metavar="FILE", type=Path, help="The same, with the token in a file.")
    add_options(parser, SECTIONS["agent"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop. Returns the exit code."""
    from zeekfleet.daemon import names, tree  # noqa: PLC0415 - the other verbs must not pay for its imports
    from zeekfleet.daemon.controller_address import parse_controller  # noqa: PLC0415
    from zeekfleet.daemon.run import run as run_daemon  # noqa: PLC0415
    from zeekfleet.model.enums import Role  # noqa: PLC0415

    resolved, roles = resolve_options(args), (Role.AGENT,)
    parse_controller(resolved.settings.agent.controller)
    resolved = _joined(args, resolved)
    return run_daemon(resolved.settings.common, lambda stop: tree.serve(names.settled(resolved, roles), roles, stop))


def _joined(args: argparse.Namespace, resolved: Resolved) -> Resolved:
    """The settings of an agent that has its certificate, if a token was given; now, if it had none before."""
    if args.join is None and args.join_file is None and not os.environ.get(JOIN):
        return resolved
    from zeekfleet.daemon import joining, names  # noqa: PLC0415
    from zeekfleet.model.enums import Role  # noqa: PLC0415

    try:
        token = joining.given_token(args.join, args.join_file, os.environ)
    except (PkiError, SettingsError):
        # A unit file may go on naming a file that is gone: once the agent has joined, it has no use for the token.
        if not (there := joining.certificate_there(names.settled(resolved, (Role.AGENT,)))):
            raise
        Messages().note(f"the token is ignored: {there}")
        return resolved
    resolved = joining.named_by(token, resolved)
    settings = names.settled(resolved, (Role.AGENT,))
    if there := joining.certificate_there(settings, token):
        Messages().note(f"the token is ignored: {there}")
    else:
        Messages().note(joining.join(settings, token))
        names.keep(Path(settings.common.state_dir), Role.AGENT, token.name)
        _begin_anew(args)
    return resolved


def _begin_anew(args: argparse.Namespace) -> None:
    """Execute this program once more, without the token in its command line, and without what joining has loaded."""
    given = {str(value) for value in (args.join, args.join_file) if value is not None}
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(OSError):  # else it goes on as it is
        os.execv(sys.executable, without_token(sys.orig_argv, given))  # noqa: S606 - the command that we were started by


def without_token(words: Sequence[str], given: Container[str]) -> list[str]:
    """A command line without the options that give a token.

    Args:
        words: the command line.
        given: the values of these options.
    """
    kept: list[str] = []
    for word in words:
        option, _, value = word.partition("=")
        if word in given and kept and kept[-1].startswith("--j"):  # options may be abbreviated
            kept.pop()
        elif not (option.startswith("--j") and value in given):
            kept.append(word)
    return kept
