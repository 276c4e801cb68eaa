"""``zeekfleet get-config``: the staged or deployed configuration, as INI or JSON."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.cli.showing import json_text
from zeekfleet.cli.streams import write_out
from zeekfleet.client.blocking import BlockingClient, result_of
from zeekfleet.errors import ConfigurationError, RequestTimeoutError
from zeekfleet.planning.ini_writer import format_configuration
from zeekfleet.planning.json_document import configuration_to_json

STANDARD_OUTPUT = "-"


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "get-config")
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
    """Run the verb; the file is written only after the configuration has arrived."""
    session = Session(args)
    with session.linked() as link:
        controller = BlockingClient(link, session.settings.request_timeout)
        configuration = result_of(controller.get_configuration(deployed=args.deployed))
        if args.deployed and link.leads_to_zeekfleet:
            _tell_deployer(session, controller, configuration.id)
    if args.as_json or session.output.as_json:
        text = json_text(configuration_to_json(configuration), pretty=session.settings.pretty_json)
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


def _tell_deployer(session: Session, controller: BlockingClient, config: str) -> None:
    """Say on stderr who had it deployed; the configuration itself is printed as zeek-client does."""
    try:
        found = result_of(controller.deployer(config))
    except RequestTimeoutError:
        return  # a controller of an earlier release
    if found is not None:
        by, when = found
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
        session.messages.note(f"deployed {moment} by {by}")
