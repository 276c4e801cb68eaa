"""``zeekfleet help [COMMAND]``: shows the help of a command, or writes the manual pages or the reference."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from zeekfleet.cli.options import Subparsers
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.streams import write_out
from zeekfleet.cli.verbs import make_parser, parser_of
from zeekfleet.errors import CommandLineError, ConfigurationError
from zeekfleet.model.nearest import did_you_mean


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("help", help=VERBS["help"], description=VERBS["help"])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("verb", metavar="COMMAND", nargs="?", help="The command; all are listed when omitted.")
    what.add_argument(
        "--man",
        metavar="DIRECTORY",
        type=Path,
        help="Write the manual pages there: one for each command, and the main one.",
    )
    what.add_argument(
        "--reference", metavar="DIRECTORY", type=Path, help="Write the pages of the reference there, in Markdown."
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.man is not None:
        from zeekfleet.cli import manual  # noqa: PLC0415 - it imports every verb

        return _write(manual.pages(), args.man)
    if args.reference is not None:
        from zeekfleet.cli import reference  # noqa: PLC0415 - it imports every verb

        return _write(reference.pages(), args.reference)
    if args.verb is None:
        write_out(make_parser((), listed=True).format_help())
    elif args.verb in VERBS:
        write_out(parser_of(args.verb).format_help())
    else:
        raise CommandLineError(f"unknown command '{args.verb}'{did_you_mean(args.verb, VERBS)}", "zeekfleet")
    return 0


def _write(pages: Mapping[str, str], directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{error.filename or directory} cannot be written: {error.strerror}") from None
    return 0
