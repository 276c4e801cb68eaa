"""Logging of the daemons: on stderr, and in ``management-<name>.log`` (docs/protocol.md, section 12).

A line is a sentence, and has its facts as fields beside it, which JSON shows::

    logger.warning("node %s was killed by SIGKILL", node, extra={"kind": "crash", "node": node, "pid": pid})

The fields are those of :data:`FIELDS`. A record with a ``kind`` is news that an operator wants to see; the process
in the foreground shows it, too (``daemon.journal``), as it shows every warning.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, ClassVar, Literal

from zeekfleet.errors import StateDirectoryError
from zeekfleet.model.enums import Role

FIELDS = (
    "kind",  # of news: connection, crash, crash loop, deployment
    "instance",
    "node",
    "role",  # of the node or process: worker, agent, …
    "reqid",  # of the client's request
    "config",  # a configuration's id
    "success",
    "pid",
    "exit",  # the exit code, or the name of the signal
    "uptime",  # seconds that the process lived
    "attempt",  # which end it is within the window in which ends are counted
    "next_start",  # seconds until the next attempt; None: there is none
    "report",  # the directory of a crash report
    "address",  # HOST:PORT
    "error",
    "source",  # the agent or controller that wrote it, where another process shows it
)
"""What a line may tell beside its sentence: ``extra`` has these keys and no others."""

COLUMNS = ("ts", "node", "level", "role", "message")
TYPES = ("time", "string", "string", "string", "string")


def configure(log_format: Literal["text", "json"], level: str, stream: IO[str] | None = None) -> None:
    """Send all logging to stderr (or ``stream``), as text or as one JSON object a line."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if log_format == "json" else _Text(coloured=stream.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiohttp.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


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
    """Have the management logs go on in new files, where theirs were moved away."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, ManagementLog):
            try:
                handler.reopen()
            except StateDirectoryError as error:
                logging.getLogger(__name__).error("the former log is written on: %s", error)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The fields of a record, in the order of :data:`FIELDS`."""
    told = vars(record)
    return {field: told[field] for field in FIELDS if field in told}


class ManagementLog(logging.Handler):
    """Writes ``management-<name>.log``: Zeek's tab-separated form, or JSON.

    A file that is full becomes ``management-<name>.log.1``, the former ``.1`` becomes ``.2``, and so on.

    Args:
        directory: the process' working directory.
        name: the agent's, controller's or node's name.
        role: what it is.
        log_format: ``tsv`` or ``json``.
        limit: bytes at which the file is full; a line more may be over it.
        kept: how many former files there are at most.

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
        path = directory / f"management-{name}.log"
        file = _open(path)
        super().__init__()  # from here on it is known to logging, which closes it at the end of the process
        self._path, self._file = path, file
        self._name = name
        self._role = role
        self._json = log_format == "json"
        self._limit = limit
        self._kept = kept
        self._begin()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        level = "ERROR" if record.levelno >= logging.ERROR else record.levelname
        told = (f"{record.created:.6f}", self._name, level, self._role.name, record.getMessage())
        if not self._json:
            self._write("\t".join(_escape(field) for field in told) + "\n")
        else:
            values: dict[str, object] = dict(zip(COLUMNS, told, strict=True)) | {"ts": round(record.created, 6)}
            if fields := fields_of(record):
                values["fields"] = fields  # apart: ``node`` and ``role`` are the process' own here
            self._write(f"{_json(values)}\n")
        if self._size() >= self._limit:
            self._rotate()

    def reopen(self) -> None:
        """Go on in a new file if the present one was moved away or removed by somebody else."""
        self.acquire()
        try:
            if not _is_at(self._file, self._path):
                self._change(_open(self._path))
        finally:
            self.release()

    def _rotate(self) -> None:
        """Nothing is lost if this ends half way: each step leaves every file under a name of ours, and whole.

        What cannot be renamed goes on to grow, and is tried again with the next line.
        """
        with contextlib.suppress(OSError, StateDirectoryError):
            self._file.flush()  # on a full disk, what waits for room stays where it is
            if _is_at(self._file, self._path):  # somebody else has rotated it otherwise
                _shift(self._path, self._kept)
            self._change(_open(self._path))

    def _change(self, file: IO[str]) -> None:
        former, self._file = self._file, file
        with contextlib.suppress(OSError):
            former.close()
        self._begin()

    def _begin(self) -> None:
        if not self._json and self._size() == 0:
            self._write(_header(f"management-{self._name}"))

    def _size(self) -> int:
        try:
            return os.fstat(self._file.fileno()).st_size
        except (OSError, ValueError):
            return 0

    def _write(self, text: str) -> None:
        """A full disk must not stop the daemon, whose alarm is given elsewhere.

        A few thousand bytes are kept until there is room again; what comes beyond them is lost.
        """
        with contextlib.suppress(OSError):
            self._file.write(text)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()
        super().close()


def _open(path: Path) -> IO[str]:
    try:
        return path.open("a", encoding="utf-8", errors="replace", buffering=1)
    except OSError as error:
        raise StateDirectoryError(path.parent, f"log {path}: {error.strerror}") from None


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether that is the file of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (OSError, ValueError):
        return False


def _shift(path: Path, kept: int) -> None:
    """Give each file the next number, the oldest first; those beyond ``kept`` are removed.

    Raises:
        OSError: one could not be renamed.
    """
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, kept + 1))]
    if kept == 0:
        path.unlink(missing_ok=True)
    for older, newer in itertools.pairwise(reversed(names)):
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)
    for number in itertools.count(kept + 1):  # more than this were kept before
        try:
            path.with_name(f"{path.name}.{number}").unlink()
        except FileNotFoundError:
            break


def _header(path: str) -> str:
    opened = time.strftime("%Y-%m-%d-%H-%M-%S")
    lines = (
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        f"#path\t{path}",
        f"#open\t{opened}",
        "\t".join(("#fields", *COLUMNS)),
        "\t".join(("#types", *TYPES)),
    )
    return "\n".join(lines) + "\n"


_ESCAPES = {ord("\\"): "\\\\"} | {code: f"\\x{code:02x}" for code in range(32)}


def _escape(text: str) -> str:
    """As Zeek writes its logs: what would break a line or field is given in hexadecimal."""
    if not text:
        return "(empty)"
    if text in ("-", "(empty)"):
        return f"\\x{ord(text[0]):02x}{text[1:]}"
    return text.translate(_ESCAPES)
