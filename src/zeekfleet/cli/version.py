"""``zeekfleet version [--all]``: which release runs, here or in every part of the fleet."""

from __future__ import annotations

import argparse

from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.output import BUSY, Cell, Note, Table, View
from zeekfleet.cli.session import Session
from zeekfleet.cli.tables import ABSENT, failures
from zeekfleet.client.blocking import result_of
from zeekfleet.client.releases import Releases
from zeekfleet.model.releases import PartRelease
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


def view(outcome: Releases) -> View:
    """A row a part, then a row a node, and a note if the parts do not all run the same build."""
    rows = tuple(_row(instance, part) for instance, parts in outcome.parts.items() for part in parts)
    tables: list[Table | Note] = [Table(("INSTANCE", "PART", "RELEASE", "BUILD", "PID", "PLACE"), rows)]
    if outcome.nodes:
        nodes = tuple((Cell(name), Cell(version)) for name, version in outcome.nodes.items())
        tables.append(Table(("NODE", "ZEEK"), nodes))
    builds = {part.build for parts in outcome.parts.values() for part in parts}
    if len(builds) > 1:
        tables.append(Note(f"{len(builds)} different builds run: an upgrade is not complete", BUSY))
    return [*tables, *failures(outcome.errors)]


def _row(instance: str, part: PartRelease) -> tuple[Cell, ...]:
    return (
        Cell(instance) if instance else ABSENT,
        Cell(part.part),
        Cell(part.version) if part.version else Cell("a former one", BUSY),
        Cell(part.build) if part.build else ABSENT,
        Cell(str(part.pid)),
        Cell(part.place) if part.place else ABSENT,
    )
