"""Parsers for the client verbs, with zeek-client's global options, which may stand before or after the verb."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn, TypeAlias

from zeekfleet.cli.purposes import VERBS
from zeekfleet.client.settings import DEFAULT_FILE
from zeekfleet.errors import CommandLineError
from zeekfleet.model.defaults import CLIENT_PORT, LOOPBACK

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

GLOBAL_VALUE_OPTIONS = ("--configfile", "--controller", "--set")
"""The long options before the verb that take a value; ``-c`` is the only short one."""


class Parser(argparse.ArgumentParser):
    """Raises our own error for a mistake, instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            CommandLineError: always.
        """
        raise CommandLineError(message, self.prog)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Gets the terminal's width without importing shutil, which argparse would otherwise import for every parser."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_columns() - 2)


def terminal_columns() -> int:
    """The width of the terminal: from ``COLUMNS``, else from the terminal, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def add_global_options(parser: argparse.ArgumentParser) -> None:
    """Add the options before the verb."""
    _add(parser, "", None)
    parser.add_argument("--version", action="store_true", help="Show version number and exit.")


def add_verb(subparsers: Subparsers, name: str, description: str = "") -> argparse.ArgumentParser:
    """Add a client verb's parser, which accepts the global options, too.

    Args:
        subparsers: where it is added.
        name: the verb.
        description: the description in its help; by default the verb's purpose.
    """
    purpose = VERBS[name]
    parser = subparsers.add_parser(
        name, help=purpose, description=description or purpose, formatter_class=HelpFormatter
    )
    _add(parser, "verb_", argparse.SUPPRESS)
    return parser


def _add(parser: argparse.ArgumentParser, prefix: str, default: str | None) -> None:
    parser.add_argument(
        "-c",
        "--configfile",
        metavar="FILE",
        dest="configfile",
        default=default,
        help=f"Path to the client's configuration file, the same as zeek-client's (default: {DEFAULT_FILE}).",
    )
    parser.add_argument(
        "--controller",
        metavar="HOST:PORT",
        dest="controller",
        default=default,
        help=f"Address and port of the controller, either of which may be omitted (default: {LOOPBACK}:{CLIENT_PORT}).",
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VAL",
        action="append",
        dest=f"{prefix}set",
        default=[],
        help="Adjust a configuration setting. Can use repeatedly. See show-settings.",
    )
    verbosity = parser.add_mutually_exclusive_group()
    verbosity.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        dest=f"{prefix}quiet",
        help="Write nothing to stderr but why the command failed.",
    )
    verbosity.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        dest=f"{prefix}verbose",
        help="Increase informational output to stderr. Repeat for more output (e.g. -vvv).",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        dest=f"{prefix}json",
        help="Print zeek-client's JSON instead of tables.",
    )
