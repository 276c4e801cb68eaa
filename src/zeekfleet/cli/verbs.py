"""Finds the verb in a command line, and makes the verbs' parsers."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

from zeekfleet.cli.options import GLOBAL_VALUE_OPTIONS, HelpFormatter, Parser, add_global_options
from zeekfleet.cli.purposes import VERBS


def find_verb(arguments: Sequence[str]) -> str | None:
    """The first word that is neither an option nor an option's value."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if _takes_next(word):
            next(words, None)
    return None


def _takes_next(word: str) -> bool:
    if word.startswith("--"):
        return len(word) > 2 and any(option.startswith(word) for option in GLOBAL_VALUE_OPTIONS)
    return word.startswith("-") and word.endswith("c") and set(word[1:-1]) <= {"q", "v"}


def module_of(verb: str) -> ModuleType:
    """The verb's module, imported now."""
    return importlib.import_module(f"zeekfleet.cli.{verb.replace('-', '_')}")


def make_parser(loaded: Iterable[str], *, listed: bool = False) -> Parser:
    """Make the parser of the whole command line.

    Args:
        loaded: the verbs whose arguments are added; this imports the module of each.
        listed: whether the parser also has the other verbs, with only name and purpose.
    """
    parser = Parser(
        prog="zeekfleet",
        formatter_class=HelpFormatter,
        description="Cluster management for Zeek.",
        epilog="environment variables:\n\n"
        "    ZEEK_CLIENT_CONFIG_FILE:      same as --configfile, but weaker\n"
        "    ZEEK_CLIENT_CONFIG_SETTINGS:  same as a series of --set, separated by spaces, but weaker\n",
    )
    add_global_options(parser)
    verbs = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", help="See 'zeekfleet help COMMAND' for each."
    )
    wanted = set(loaded)
    for name, purpose in VERBS.items():
        if name in wanted:
            module_of(name).add_parser(verbs)
        elif listed:
            verbs.add_parser(name, help=purpose)
    return parser


def parser_of(verb: str) -> argparse.ArgumentParser:
    """The parser of one verb."""
    parser = make_parser((verb,))
    return subparsers_of(parser)[verb]


def subparsers_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the verbs that a parser knows, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def innermost(parser: argparse.ArgumentParser, words: Iterable[str]) -> argparse.ArgumentParser:
    """The parser of the last command that these words name, such as the one of ``pki issue agent``."""
    for word in words:
        parser = subparsers_of(parser).get(word, parser)
    return parser


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """All parsers below this one that have no subcommands; none if this one has no subcommands."""
    for below in subparsers_of(parser).values():
        yield from leaves(below) if subparsers_of(below) else (below,)
