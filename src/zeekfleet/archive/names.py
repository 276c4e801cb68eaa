"""File names of rotated and archived logs. They are the same as those of Zeek's loggers and zeek-archiver. Pure.

In the queue: ``<path>__<open>__<close>__.log`` with times as ``YYYY-MM-DD-HH-MM-SS``. With several loggers there is
``log_suffix=<node>__`` before the extension. That is a list of ``key=value``, separated by commas; other keys are
ignored.

In the archive: ``YYYY-MM-DD/<path>.HH:MM:SS-HH:MM:SS[-<suffix>]<extension>``. The day is the one on which the log was
opened. All times are the loggers' local time.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime

import msgspec

TEMPORARY_PREFIX = ".zeekfleet-"
"""The prefix of files in the archive that are not finished."""

COMPRESSED = (".gz", ".bz2", ".lz", ".lz4", ".xz", ".zst")
"""Extensions of logs that are compressed already."""

_TIME = r"(\d{4})-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)"
_ROTATED = re.compile(
    rf"(?P<path>[^.].*?)__(?P<open>{_TIME})__(?P<close>{_TIME})__(?:(?P<metadata>.*?)__)?(?P<extension>(?:(?!__).)*)",
    re.DOTALL | re.ASCII,
)
_ARCHIVED = re.compile(r"[^.].*?\.(?P<open>\d\d:\d\d:\d\d)-\d\d:\d\d:\d\d.*", re.DOTALL | re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class RotatedLog(msgspec.Struct, frozen=True):
    """What the name of a rotated log says.

    Attributes:
        path: the log's name, such as ``conn``.
        opened: when it was opened, local time.
        closed: when it was closed, local time.
        suffix: distinguishes the logs of several loggers; empty with one logger.
        extension: with its dot, such as ``.log``.
    """

    path: str
    opened: datetime
    closed: datetime
    suffix: str = ""
    extension: str = ".log"

    @property
    def day(self) -> str:
        """The name of its directory in the archive."""
        return self.opened.date().isoformat()

    @property
    def compressed(self) -> bool:
        """Whether it is compressed already."""
        return self.extension.endswith(COMPRESSED)

    def archived_name(self, number: int = 1) -> str:
        """Its name in the archive, without the suffix of a compression.

        Args:
            number: counts logs with the same path, day and times, from 1.
        """
        name = f"{self.path}.{self.opened:%H:%M:%S}-{self.closed:%H:%M:%S}"
        if self.suffix:
            name += f"-{self.suffix}"
        return f"{name}-{number}{self.extension}" if number > 1 else name + self.extension


def parse_rotated(name: str) -> RotatedLog | None:
    """Parse the name of a file in the queue; None if it is not a rotated log.

    The rules are those of zeek-archiver, except that paths and suffixes may contain two underscores, and that times
    must be written as Zeek writes them.
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
    """The log's suffix; None if the metadata is not a list of ``key=value``."""
    suffix = ""
    for entry in metadata.split(",") if metadata else ():
        key, _, value = (part.strip() for part in entry.partition("="))
        if not key or not value or "=" in value:
            return None
        if key == "log_suffix":
            suffix = value
    return suffix


def temporary_name(name: str) -> str:
    """The name in the archive under which a log from the queue is written until it is finished."""
    digest = hashlib.blake2s(name.encode(errors="surrogateescape"), digest_size=16)
    return TEMPORARY_PREFIX + digest.hexdigest()


def parse_day(name: str) -> date | None:
    """The day of a directory in the archive; None if the name is not a day."""
    try:
        return date.fromisoformat(name) if _DAY.fullmatch(name) else None
    except ValueError:
        return None


def opening_time(name: str) -> str | None:
    """When an archived log was opened, as ``HH:MM:SS``; None if the name is not one of an archived log."""
    found = _ARCHIVED.fullmatch(name)
    return found["open"] if found else None
