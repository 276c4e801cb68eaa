"""Logging of the daemons: stderr for people or machines, ``management-<name>.log`` for both (protocol section 12)."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from pathlib import Path
from typing import IO, Literal

import structlog

from zeekfleet.errors import StateDirectoryError
from zeekfleet.model.enums import Role

COLUMNS = ("ts", "node", "level", "role", "message")
TYPES = ("time", "string", "string", "string", "string")


def configure(log_format: Literal["text", "json"], level: str, stream: IO[str] | None = None) -> None:
    """Send all logging to stderr (or ``stream``), as text or as one JSON object a line."""
    stream = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiohttp.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class ManagementLog(logging.Handler):
    """Writes ``management-<name>.log``: Zeek's tab-separated form, or JSON.

    Args:
        directory: the process' working directory.
        name: the agent's, controller's or node's name.
        role: what it is.
        log_format: ``tsv`` or ``json``.

    Raises:
        StateDirectoryError: the file cannot be opened.
    """

    def __init__(self, directory: Path, name: str, role: Role, log_format: Literal["tsv", "json"] = "tsv") -> None:
        self._file = _open(directory / f"management-{name}.log")
        super().__init__()  # from here on it is known to logging, which closes it at the end of the process
        self._name = name
        self._role = role
        self._json = structlog.processors.JSONRenderer() if log_format == "json" else None
        if self._file.tell() == 0 and self._json is None:
            self._write(_header(f"management-{name}"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        level = "ERROR" if record.levelno >= logging.ERROR else record.levelname
        fields = (f"{record.created:.6f}", self._name, level, self._role.name, record.getMessage())
        if self._json is None:
            self._write("\t".join(_escape(field) for field in fields) + "\n")
        else:
            values: dict[str, object] = dict(zip(COLUMNS, fields, strict=True))
            self._write(f"{self._json(None, '', values | {'ts': round(record.created, 6)})!s}\n")

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
