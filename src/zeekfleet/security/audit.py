"""The audit log's records: who asked for what, from where, and what came of it.

A record is a line of JSON. Each has the SHA-256 of the line before it. So if somebody changes, removes or adds a line,
all later lines have to be changed, too. A torn line, as a power failure may leave, is part of the chain like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

BEGINNING: Final = "0" * 64
"""The value in place of a digest in the very first record."""

LONGEST_TEXT: Final = 300
"""The most characters of a text in a record."""

MOST_NAMES: Final = 50
"""The most names that a record lists."""


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request is about, without secrets.

    Attributes:
        config: the id of a configuration.
        instances: names of instances.
        nodes: names of nodes; none where all are meant.
        action: the action that nodes are to run, and the name of the option or identifier.
        deployment: the request id of another deployment.
        more: how many names are left out.
    """

    config: str = ""
    instances: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    deployment: str = ""
    more: int = 0


class AuditRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record.

    Attributes:
        number: each is one more than the one before.
        time: seconds since 1970.
        who: the user or certificate, such as ``root (0)``.
        origin: where the request came from.
        request: the event's name, such as ``deploy_request``.
        reqid: the request's id.
        outcome: ``asked``, ``done``, ``failed: WHY`` or ``refused: WHY``.
        previous: the digest of the line before.
        asked: what it is about; only in the record of a request that was not refused.
    """

    number: int
    time: float
    who: str
    origin: str
    request: str
    reqid: str
    outcome: str
    previous: str
    asked: Asked | None = None


class Verification(msgspec.Struct, frozen=True):
    """The outcome of verifying an audit log.

    Attributes:
        records: the records that could be read, the oldest first.
        problems: what is wrong with the chain, a sentence each.
        torn: the numbers of lines that were cut short, counted from the first line of the oldest file.
        digest: the digest of the last line. Keep it elsewhere to find out later whether lines at the end are missing.
    """

    records: tuple[AuditRecord, ...]
    problems: tuple[str, ...]
    torn: tuple[int, ...]
    digest: str


def part(file: Path, number: int) -> Path:
    """An older part of an audit log; 1 is the latest of these."""
    return file.with_name(f"{file.name}.{number}")


def parts(file: Path) -> list[Path]:
    """The existing files of an audit log, the oldest first."""
    older: list[Path] = []
    while (next_older := part(file, len(older) + 1)).exists():
        older.append(next_older)
    return [*reversed(older), *([file] if file.exists() else [])]


def digest(line: bytes) -> str:
    """The digest of a line without its end."""
    return hashlib.sha256(line).hexdigest()


def bounded(text: str) -> str:
    """A text, cut to the length that a record may have."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def encode(record: AuditRecord) -> bytes:
    """The line of a record, without its end."""
    return msgspec.json.encode(record)


def decode(line: bytes) -> AuditRecord | None:
    """The record in a line; None if the line was cut short."""
    try:
        return msgspec.json.decode(line, type=AuditRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def verify(lines: Iterable[bytes]) -> Verification:
    """Read an audit log and check its chain.

    Args:
        lines: of all its files, the oldest first, without ends.
    """
    records: list[AuditRecord] = []
    problems: list[str] = []
    torn: list[int] = []
    previous, number = "", 0
    for place, line in enumerate(lines, 1):
        record = decode(line)
        if record is None:
            torn.append(place)
            number += 1
        else:
            problems += _problems(record, place, previous, number)
            records.append(record)
            number = record.number
        previous = digest(line)
    return Verification(tuple(records), tuple(problems), tuple(torn), previous or BEGINNING)


def _problems(record: AuditRecord, place: int, previous: str, number: int) -> Iterator[str]:
    """The breaks in the chain between a record and the line before it. The oldest records may have been removed."""
    if place == 1:
        if record.number == 1 and record.previous != BEGINNING:
            yield "line 1 says that it is the first record, and that there is one before it"
    elif record.previous != previous:
        yield f"line {place} does not follow from the line before it: one of them was changed, or some are missing"
    elif record.number != number + 1:
        yield f"line {place} has the number {record.number}, expected {number + 1}"
