"""``zeekfleet get-config``: the staged or deployed configuration, as INI or JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeekfleet.broker.events.controller import GetConfigurationRequest, GetConfigurationResponse
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.cli.streams import write_out
from zeekfleet.client import report, results
from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import fresh_id
from zeekfleet.planning.ini_writer import format_configuration

STANDARD_OUTPUT = "-"


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "get-config", "Retrieve staged or deployed cluster configuration.")
    parser.add_argument(
        "-f", "--filename", metavar="FILE", default=STANDARD_OUTPUT, help="Output file, default stdout."
    )
    parser.add_argument("--as-json", action="store_true", help="JSON instead of INI; the same as --json.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--deployed", action="store_true", help="The deployed configuration.")
    which.add_argument(
        "--staged", action="store_false", dest="deployed", default=False, help="The staged configuration (default)."
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb; a file is written only once the configuration is there."""
    session = Session(args)
    with session.connected() as connection:
        request = GetConfigurationRequest(fresh_id(), args.deployed)
        configuration = results.read_configuration(connection.ask(request, GetConfigurationResponse).result)
    if args.as_json or session.output.json:
        text = report.to_text(report.configuration(configuration), pretty=session.settings.pretty_json) + "\n"
    else:
        text = format_configuration(configuration)
    if not args.filename or args.filename == STANDARD_OUTPUT:
        write_out(text)
        return 0
    try:
        Path(args.filename).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{args.filename} cannot be written: {error.strerror}") from None
    return 0
