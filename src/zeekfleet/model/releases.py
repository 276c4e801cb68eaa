"""Which release of zeekfleet each process of a fleet runs."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.types import Count, Record


class PartRelease(Record, frozen=True):
    """The release that one of zeekfleet's processes runs.

    Attributes:
        part: ``controller``, ``agent``, ``supervisor`` or ``stem``.
        pid: its process id on its host.
        version: such as ``0.1.0``; ``""`` for an older release that does not report it.
        build: eight hexadecimal digits, a fingerprint of the package's files.
        place: the directory of the package.
        python: the path of the interpreter.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::PartRelease"

    part: str
    pid: Count
    version: str = ""
    build: str = ""
    place: str = ""
    python: str = ""
