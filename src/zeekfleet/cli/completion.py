"""How a command line may go on, told to a shell by argcomplete.

``eval "$(register-python-argcomplete zeekfleet)"`` in a shell's start file switches it on.
"""

from __future__ import annotations

import argparse
import os
import shlex

import argcomplete

from zeekfleet.cli.verbs import VERBS, find_verb, make_parser, subparsers_of
from zeekfleet.client.settings import DEFAULTS

PATIENCE = ("client.peering_attempts=1", "client.peering_retry_delay_secs=0.5", "client.request_timeout_secs=1")
"""Whoever has pressed a key does not wait long for the names of nodes."""

NODES = ("node", "nodes")
"""Destinations of arguments that name nodes."""


def complete() -> None:
    """Answer the shell and end the process."""
    line = os.environ.get("COMP_LINE", "")
    verb = find_verb(_words(line[: _point(line)])[1:])
    # A verb that is only begun is none yet: those that begin so are what is asked for.
    parser = make_parser(() if verb not in VERBS else (verb,), listed=True)
    for each in (parser, subparsers_of(parser).get(verb or "", parser)):
        for action in each._actions:
            _set_completer(action)
    argcomplete.autocomplete(parser, always_complete_options="long")


def _point(line: str) -> int:
    try:
        return int(os.environ.get("COMP_POINT", ""))
    except ValueError:
        return len(line)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote is still open
        return line.split()


def _set_completer(action: argparse.Action) -> None:
    if action.dest in NODES:
        action.completer = _nodes  # type: ignore[attr-defined] # argcomplete's own way
    elif "--set" in action.option_strings:
        action.completer = _settings  # type: ignore[attr-defined]


def _settings(**_: object) -> list[str]:
    return [f"{section}.{key}=" for section, keys in DEFAULTS.items() for key in keys]


def _nodes(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Groups, and the nodes that are deployed as far as a controller says so at once."""
    return []
