"""``zeekfleet audit``: shows the audit log of this host's controller, and checks that it is complete and unchanged."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from zeekfleet.cli.daemon_options import add_options, resolve_options
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.cli.showing import json_text
from zeekfleet.cli.since import seconds_of
from zeekfleet.cli.streams import write_out
from zeekfleet.client.views import ABSENT, BAD, GOOD, Cell, Note, Table, View, problem
from zeekfleet.errors import StateDirectoryError
from zeekfleet.model.names import AUDIT_LOG
from zeekfleet.security.audit import Asked, AuditRecord, Verification, parts, verify

COLUMNS = ("TIME", "WHO", "FROM", "REQUEST", "ABOUT", "OUTCOME")

LATEST = 50
"""The number of records that are shown by default."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(
        subparsers,
        "audit",
        "Show who asked the controller of this host for changes, from where, and what came of it. The records are read"
        " from the state directory.",
    )
    parser.add_argument(
        "--verify", action="store_true", help="Check that no record was changed, removed or added, instead."
    )
    parser.add_argument(
        "-n",
        "--lines",
        metavar="NUMBER",
        type=_count,
        default=None,
        help=f"How many of the latest records to show. Default: {LATEST}.",
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=seconds_of,
        help="Show all records since then: a duration (2h, 1d) or a time (14:03).",
    )
    add_options(parser, ("common",), only=("common.state_dir",))


def run(args: argparse.Namespace) -> int:
    """Run the verb. With ``--json``, each line is a record; with ``--verify`` as well, there is one document."""
    session = Session(args)
    found = verify(_lines(Path(resolve_options(args).settings.common.state_dir)))
    if args.verify:
        session.output.show(verification(found), lambda: verified(found))
        return 1 if found.problems else 0
    records = found.records
    if args.since is not None:
        begin = time.time() - args.since
        records = tuple(record for record in records if record.time >= begin)
    if args.lines is not None or args.since is None:
        wanted = LATEST if args.lines is None else args.lines
        records = records[max(0, len(records) - wanted) :]
    if session.output.as_json:
        write_out("".join(json_text(document(record), pretty=False) for record in records))
    else:
        session.output.show({}, lambda: [table(*records) if records else Note("nothing was asked for")])
    return 0


def document(record: AuditRecord) -> dict[str, object]:
    """A record as a JSON document. The keys are always the same."""
    asked = record.asked or Asked()
    return {
        "number": record.number,
        "time": record.time,
        "who": record.who,
        "from": record.origin,
        "request": record.request,
        "reqid": record.reqid,
        "config": asked.config or None,
        "instances": list(asked.instances),
        "nodes": list(asked.nodes),
        "action": list(asked.action),
        "deployment": asked.deployment or None,
        "more": asked.more,
        "outcome": record.outcome,
    }


def verification(found: Verification) -> dict[str, object]:
    """The outcome of a verification, as a JSON document."""
    return {
        "records": len(found.records),
        "first": found.records[0].number if found.records else None,
        "problems": list(found.problems),
        "torn": list(found.torn),
        "digest": found.digest,
    }


def verified(found: Verification) -> View:
    """The outcome of a verification, for a person."""
    count = "1 record" if len(found.records) == 1 else f"{len(found.records)} records"
    older = found.records[0].number - 1 if found.records else 0
    notes = [Note(f"{count}; the digest of the last line is {found.digest}")]
    if older:
        notes.append(Note(f"the first has the number {older + 1}: older parts of the log are not there any more"))
    notes += [Note(f"line {place} was cut short, as by a power failure", BAD) for place in found.torn]
    notes += [problem(sentence) for sentence in found.problems]
    return notes if found.problems else [*notes, Note("the chain is whole", GOOD)]


def table(*records: AuditRecord) -> Table:
    """A row for each record."""
    return Table(COLUMNS, tuple(map(_row, records)))


def _row(record: AuditRecord) -> tuple[Cell, ...]:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.time))
    about = _about(record)
    tone = "" if record.outcome == "asked" else GOOD if record.outcome == "done" else BAD
    return (
        Cell(moment),
        Cell(record.who),
        Cell(record.origin),
        Cell(record.request),
        Cell(about) if about else ABSENT,
        Cell(record.outcome, tone),
    )


def _about(record: AuditRecord) -> str:
    """Such as ``get_id_value bits_per_uid, w1 w2``."""
    asked = record.asked or Asked()
    lists = (asked.action, asked.instances, asked.nodes)
    told = [" ".join(names) for names in lists if names]
    told = [*filter(None, (asked.config, asked.deployment)), *told]
    return ", ".join(told) + (f" and {asked.more} more" if asked.more else "")


def _lines(state: Path) -> Iterator[bytes]:
    for file in parts(state / AUDIT_LOG):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise StateDirectoryError(file, f"it cannot be read: {error.strerror}") from None
        yield from filter(None, content.split(b"\n"))


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:10]) > 0:
        return int(text[:10])
    raise argparse.ArgumentTypeError(f"expected a number of records, at least 1, not '{text}'")
