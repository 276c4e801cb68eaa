"""Logging of the daemons: on stderr, and in ``management-<name>.log`` (docs/protocol.md, section 12).

A line is a sentence. Its facts are fields in addition, which the JSON format shows::

    logger.warning("node %s was killed by SIGKILL", node, extra={"kind": "crash", "node": node, "pid": pid})

The fields are those of :data:`FIELDS`. A line with a ``kind`` is important for operators. Like every warning, the
foreground process shows it as well (``daemon.journal``).
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, ClassVar, Literal

from zeekfleet.errors import StateDirectoryError
from zeekfleet.logs.file import ManagementFile
from zeekfleet.model.enums import Role
from zeekfleet.model.texts import one_line

FIELDS = (
    "kind",  # what an important line is about: connection, crash, crash loop, deployment
    "instance",
    "node",
    "role",  # of the node or process: worker, agent, …
    "reqid",  # of the client's request
    "config",  # a configuration's id
    "success",
    "pid",
    "exit",  # the exit code, or the name of the signal
    "uptime",  # seconds that the process ran
    "attempt",  # how many times it ended within the window of a crash loop, this one included
    "next_start",  # seconds until the next start; None: there is none
    "report",  # the directory of a crash report
    "address",  # HOST:PORT
    "error",
    "source",  # the agent or controller that wrote the line, if another process shows it
)
"""The fields that a line may have: the keys of ``extra``."""


def configure(log_format: Literal["text", "json"], level: str, stream: IO[str] | None = None) -> None:
    """Send all logging to stderr (or ``stream``), as text or as one JSON object a line."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if log_format == "json" else _Text(coloured=stream.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _Text(logging.Formatter):
    """``TIME [LEVEL] SENTENCE [LOGGER]``, and a traceback below it."""

    COLOURS: ClassVar = {"debug": 32, "info": 32, "warning": 33, "error": 31, "critical": 31}

    def __init__(self, coloured: bool) -> None:
        super().__init__("%(moment)s [%(label)s] %(message)s [%(name)s]")
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        record.moment = _iso(record.created)
        record.label = f"\x1b[{self.COLOURS.get(level, 0)}m{level:<9}\x1b[0m" if self._coloured else f"{level:<9}"
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class names it
        # What peers tell must neither begin a line of its own nor control a terminal.
        record.message = one_line(record.message)
        return super().formatMessage(record)


class _Json(logging.Formatter):
    """One object a line: the fields, ``event``, ``level``, ``logger``, ``timestamp``; ``exception`` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = fields_of(record) | {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": _iso(record.created),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _json(line)


def _iso(seconds: float) -> str:
    """A time in UTC, as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, default=repr)


def reopen() -> None:
    """Open new files for management logs whose files were moved away."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, ManagementLog):
            try:
                handler.reopen()
            except StateDirectoryError as error:
                logging.getLogger(__name__).error("continuing in the former log: %s", error)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The fields of a record, in the order of :data:`FIELDS`."""
    told = vars(record)
    return {field: told[field] for field in FIELDS if field in told}


class ManagementLog(logging.Handler):
    """Writes ``management-<name>.log``: see :class:`zeekfleet.logs.file.ManagementFile`.

    Args:
        directory: the process' working directory.
        name: the agent's or controller's name.
        role: what it is.
        log_format: ``tsv`` or ``json``.
        limit: bytes at which the file is rotated.
        kept: how many rotated files are kept.

    Raises:
        StateDirectoryError: the file cannot be opened.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        role: Role,
        log_format: Literal["tsv", "json"] = "tsv",
        *,
        limit: int = 16 * 2**20,
        kept: int = 3,
    ) -> None:
        file = ManagementFile(str(directory), name, role.name, log_format, limit=limit, kept=kept)
        super().__init__()  # after the file: logging calls ``close`` of every handler at the end of the process
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        level = "ERROR" if record.levelno >= logging.ERROR else record.levelname
        self._file.write(record.created, level, record.getMessage(), fields_of(record))

    def reopen(self) -> None:
        """Open a new file if the present one was moved away or removed."""
        self.acquire()
        try:
            self._file.reopen()
        finally:
            self.release()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
