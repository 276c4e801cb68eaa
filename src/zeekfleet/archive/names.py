"""What rotated and archived logs are called, as Zeek's loggers and zeek-archiver have it.

In the queue: ``<path>__<open>__<close>__.log``, times as ``YYYY-MM-DD-HH-MM-SS``;
several loggers add ``log_suffix=<node>__`` before the extension (a list of
``key=value``, separated by commas, of which only this key means something).
In the archive: ``YYYY-MM-DD/<path>.HH:MM:SS-HH:MM:SS[-<suffix>]<extension>``, the
day being that of the opening. All times are the loggers' local time.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime

import msgspec

TEMPORARY_PREFIX = ".zeekfleet-"
"""Begins the names of files that are being written in the archive."""

COMPRESSED = (".gz", ".bz2", ".lz", ".lz4", ".xz", ".zst")
"""Logs whose extension ends so are compressed already."""

_TIME = r"(\d{4})-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)"
_ROTATED = re.compile(
    rf"(?P<path>[^.].*?)__(?P<open>{_TIME})__(?P<close>{_TIME})__(?:(?P<metadata>.*?)__)?(?P<extension>(?:(?!__).)*)",
    re.DOTALL | re.ASCII,
)
_ARCHIVED = re.compile(r"[^.].*?\.(?P<open>\d\d:\d\d:\d\d)-\d\d:\d\d:\d\d.*", re.DOTALL | re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class RotatedLog(msgspec.Struct, frozen=True):
    """What the name of a rotated log tells.

    Attributes:
        path: the log's name, such as ``conn``.
        opened: when it was opened, local time.
        closed: when it was closed, local time.
        suffix: tells the logs of several loggers apart; may be empty.
        extension: with its dot, such as ``.log``.
    """

    path: str
    opened: datetime
    closed: datetime
    suffix: str = ""
    extension: str = ".log"

    @property
    def day(self) -> str:
        """The directory it belongs in."""
        return self.opened.date().isoformat()

    @property
    def compressed(self) -> bool:
        """Whether the logger has compressed it already."""
        return self.extension.endswith(COMPRESSED)

    def archived_name(self, number: int = 1) -> str:
        """Its name there, before compression; another number for each further log that has the same name."""
        name = f"{self.path}.{self.opened:%H:%M:%S}-{self.closed:%H:%M:%S}"
        if self.suffix:
            name += f"-{self.suffix}"
        return f"{name}-{number}{self.extension}" if number > 1 else name + self.extension


def parse_rotated(name: str) -> RotatedLog | None:
    """What a file in the queue is; None if it is no rotated log.

    As zeek-archiver decides it, but paths and suffixes may contain two
    underscores, and times must be written as Zeek writes them.
    """
    found = _ROTATED.fullmatch(name)
    if found is None:
        return None
    suffix = _suffix(found["metadata"] or "")
    opened, closed = _moment(found["open"]), _moment(found["close"])
    if suffix is None or opened is None or closed is None:
        return None
    return RotatedLog(found["path"], opened, closed, suffix, found["extension"])


def _moment(text: str) -> datetime | None:
    try:
        return datetime(*(int(part) for part in text.split("-")))  # type: ignore[arg-type]
    except ValueError:
        return None


def _suffix(metadata: str) -> str | None:
    """The log's suffix; None if the metadata are no list of ``key=value``."""
    suffix = ""
    for entry in metadata.split(",") if metadata else ():
        key, _, value = (part.strip() for part in entry.partition("="))
        if not key or not value or "=" in value:
            return None
        if key == "log_suffix":
            suffix = value
    return suffix


def temporary_name(name: str) -> str:
    """Where the file of this name in the queue is written to before it gets its own name in the archive."""
    digest = hashlib.blake2s(name.encode(errors="surrogateescape"), digest_size=16)
    return TEMPORARY_PREFIX + digest.hexdigest()


def parse_day(name: str) -> date | None:
    """The day a directory of the archive is for; None if it is none."""
    try:
        return date.fromisoformat(name) if _DAY.fullmatch(name) else None
    except ValueError:
        return None


def opening_time(name: str) -> str | None:
    """``HH:MM:SS`` at which an archived log was opened; None if that is no archived log's name."""
    found = _ARCHIVED.fullmatch(name)
    return found["open"] if found else None
