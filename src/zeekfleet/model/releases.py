"""Which zeekfleet each part of a fleet runs."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.types import Count, Record


class PartRelease(Record, frozen=True):
    """One process of zeekfleet's own.

    Attributes:
        part: ``controller``, ``agent``, ``supervisor`` or ``stem``.
        pid: its process id on its host.
        version: such as ``0.1.0``; ``""`` for a former release that does not tell.
        build: eight hexadecimal digits that tell one set of files from another.
        place: the directory that holds the package.
        python: the interpreter that runs it.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::PartRelease"

    part: str
    pid: Count
    version: str = ""
    build: str = ""
    place: str = ""
    python: str = ""
