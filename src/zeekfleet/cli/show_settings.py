"""``zeekfleet show-settings``: the client's settings, as zeek-client shows them; ``--origin`` also where from."""

from __future__ import annotations

import argparse
import sys

from zeekfleet.cli import tables
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "show-settings", "Show the settings in force.")
    parser.add_argument("--origin", action="store_true", help="A table of values with where each comes from.")


def run(args: argparse.Namespace) -> int:
    """Run the verb: INI as zeek-client prints it, a table with ``--origin``, a document with ``--json``."""
    session = Session(args)
    settings = session.settings
    items = settings.items()
    origins = {(section, key): settings.origin(section, key) for section, keys in items.items() for key in keys}
    if args.origin:
        document = {
            section: {key: {"value": value, "origin": origins[section, key]} for key, value in keys.items()}
            for section, keys in items.items()
        }
        session.output.show(document, lambda: tables.settings(items, origins))
    elif session.output.json:
        session.output.show_document(dict(items))
    else:
        sys.stdout.write(settings.as_ini())
    return 0
