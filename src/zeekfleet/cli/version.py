"""``zeekfleet version [--all]``: which release runs, here or in every part of the fleet."""

from __future__ import annotations

import argparse

from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs.version import view
from zeekfleet.client.views import Note
from zeekfleet.release import RUNNING


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "version")
    parser.add_argument("--all", action="store_true", help="Ask controller, agents, supervisors, stems and nodes.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    if not args.all:
        own = {"version": RUNNING.version, "build": RUNNING.build, "place": RUNNING.place, "python": RUNNING.python}
        session.output.show(own, lambda: [Note(f"zeekfleet {RUNNING}")])
        return 0
    with session.connected() as controller:
        outcome = result_of(controller.releases())
    session.output.show(outcome.document(), lambda: view(outcome))
    return 0 if outcome.ok else 1
