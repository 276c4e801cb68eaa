"""Completes command lines in a shell, with argcomplete.

``eval "$(register-python-argcomplete zeekfleet)"`` in a shell's start file switches it on.
"""

from __future__ import annotations

import argparse
import functools
import os
import shlex
from collections.abc import Callable

import argcomplete

from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.verbs import find_verb, make_parser, subparsers_of
from zeekfleet.client.blocking import BlockingClient, result_of
from zeekfleet.client.link import Retry, connect
from zeekfleet.client.node_groups import AT, NAMES
from zeekfleet.client.settings import DEFAULTS, ClientSettings
from zeekfleet.client.tls import client_context
from zeekfleet.errors import ZeekfleetError

PATIENCE = Retry(limit=0.5)
ANSWER = 1.0
"""Seconds for a controller's answer: nobody wants to wait long after pressing a key."""


def complete() -> None:
    """Answer the shell and end the process."""
    line = os.environ.get("COMP_LINE", "")
    verb = find_verb(_words(line[: _point(line)])[1:])
    # An unfinished word is no verb yet: the shell asks for the verbs that start with it.
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
    completer: Callable[..., list[str]] | None = None
    if action.dest == "nodes":
        completer = _nodes
    elif action.dest == "verb":
        completer = _verbs
    elif "--set" in action.option_strings:
        completer = _settings
    elif isinstance(action.metavar, str) and action.metavar.startswith("{"):
        choices = action.metavar.strip("{}").split(",")
        completer = functools.partial(_these, choices)
    if completer is not None:
        action.completer = completer  # type: ignore[attr-defined] # argcomplete looks for this attribute


def _these(choices: list[str], **_: object) -> list[str]:
    return choices


def _verbs(**_: object) -> list[str]:
    return list(VERBS)


def _settings(**_: object) -> list[str]:
    return [f"{section}.{key}=" for section, keys in DEFAULTS.items() for key in keys]


def _nodes(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Groups, and the deployed nodes if a controller answers at once."""
    given = vars(parsed_args)
    assignments = (*given.get("set", ()), *given.get("verb_set", ()))
    try:
        settings = ClientSettings.load(
            os.environ, file=given.get("configfile"), assignments=assignments, controller=given.get("controller")
        )
        context = None if settings.tls is None else client_context(settings.tls)
        with connect(settings.host, settings.port, tls=context, retry=PATIENCE) as link:
            members = result_of(BlockingClient(link, ANSWER).deployed_nodes())
    except (ZeekfleetError, OSError):
        members = ()
    instances = sorted({f"{AT}{member.instance}" for member in members})
    return [*NAMES, *instances, *(member.name for member in members)]
