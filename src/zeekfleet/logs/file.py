"""``management-<name>.log``: the log of an agent, a controller or a simulated node.

A simulated node logs with this module alone, and a host may have a thousand of them. So this module does not import
``logging`` or ``pathlib``, which would make each of them start later.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping

from zeekfleet.errors import StateDirectoryError

COLUMNS = ("ts", "node", "level", "role", "message")
TYPES = ("time", "string", "string", "string", "string")
_ESCAPES = {ord("\\"): "\\\\"} | {code: f"\\x{code:02x}" for code in range(32)}


class ManagementFile:
    """Writes the file, as Zeek's tab-separated values or as JSON, and rotates it.

    A full file is renamed to ``management-<name>.log.1``, the former ``.1`` to ``.2``, and so on.

    Args:
        directory: the process' working directory.
        name: the agent's, controller's or node's name.
        role: ``AGENT``, ``CONTROLLER`` or ``NODE``.
        log_format: ``tsv`` or ``json``.
        limit: bytes at which the file is full; its last line may exceed that.
        kept: how many rotated files are kept.

    Raises:
        StateDirectoryError: the file cannot be opened.
    """

    def __init__(
        self, directory: str, name: str, role: str, log_format: str = "tsv", *, limit: int = 16 * 2**20, kept: int = 3
    ) -> None:
        self._directory = directory
        self._path = f"{directory}/management-{name}.log"
        self._name = name
        self._role = role
        self._json = log_format == "json"
        self._limit = limit
        self._kept = kept
        self._open()

    def write(self, created: float, level: str, message: str, fields: Mapping[str, object]) -> None:
        """Write one line.

        Args:
            created: Unix time.
            level: such as ``INFO``.
            message: the sentence.
            fields: its facts, which only the JSON format shows.
        """
        told = (f"{created:.6f}", self._name, level, self._role, message)
        if not self._json:
            self._append("\t".join(_escape(field) for field in told) + "\n")
        else:
            values: dict[str, object] = dict(zip(COLUMNS, told, strict=True)) | {"ts": round(created, 6)}
            if fields:
                values["fields"] = fields  # nested, because ``node`` and ``role`` of the line are those of the process
            self._append(f"{json.dumps(values, default=repr)}\n")
        if self._size() >= self._limit:
            self._rotate()

    def reopen(self) -> None:
        """Open a new file if the present one was moved away or removed."""
        if not self._is_in_place():
            self._replace()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _rotate(self) -> None:
        """Rename the file and begin a new one.

        If the process dies in between, nothing is lost: after each step, all files are complete and have names of
        the series. If a file cannot be renamed, it grows on, and the next line tries again.
        """
        with contextlib.suppress(OSError, StateDirectoryError):
            self._file.flush()  # on a full disk this fails, before anything is renamed
            if self._is_in_place():  # else another program has rotated it
                _shift(self._path, self._kept)
            self._replace()

    def _replace(self) -> None:
        former = self._file
        self._open()
        with contextlib.suppress(OSError):
            former.close()

    def _open(self) -> None:
        try:
            self._file = open(  # noqa: SIM115
                self._path, "a", encoding="utf-8", errors="replace", buffering=1, opener=_opened
            )
        except OSError as error:
            reason = "it is a symbolic link" if os.path.islink(self._path) else error.strerror
            raise StateDirectoryError(self._directory, f"log {self._path}: {reason}") from None
        if not self._json and self._size() == 0:
            self._append(_header(f"management-{self._name}"))

    def _append(self, text: str) -> None:
        """Write, or lose the line: a full disk must not stop the daemon. Another module reports the full disk.

        Python buffers a few thousand bytes until there is room again. Lines beyond them are lost.
        """
        with contextlib.suppress(OSError):
            self._file.write(text)

    def _size(self) -> int:
        try:
            return os.fstat(self._file.fileno()).st_size
        except (OSError, ValueError):
            return 0

    def _is_in_place(self) -> bool:
        """Whether the open file still has its path."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._path))
        except (OSError, ValueError):
            return False


def _opened(path: str, flags: int) -> int:
    """Open a file that only our user can read. A symbolic link is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _shift(path: str, kept: int) -> None:
    """Give each file the next number, starting with the oldest; remove those beyond ``kept``.

    Raises:
        OSError: one could not be renamed.
    """
    for number in range(kept, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path if number == 1 else f"{path}.{number - 1}", f"{path}.{number}")
    if kept == 0:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    number = kept + 1  # an earlier run may have kept more files
    with contextlib.suppress(FileNotFoundError):
        while True:
            os.unlink(f"{path}.{number}")
            number += 1


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


def _escape(text: str) -> str:
    """Escape as Zeek does: characters that would break a line or a field are written in hexadecimal."""
    if not text:
        return "(empty)"
    if text in ("-", "(empty)"):
        return f"\\x{ord(text[0]):02x}{text[1:]}"
    return text.translate(_ESCAPES)
