"""Inspecting a database file before anything may write to it.

A file that is damaged, foreign or newer must stay as it is, for whoever repairs it. So the header is read as plain
bytes first. Then SQLite checks the whole file, through a connection that cannot write.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zeekfleet.errors import StoreCorruptError, StoreError, StoreVersionError
from zeekfleet.model.management import Configuration
from zeekfleet.store.disk_space import NO_SPACE
from zeekfleet.store.encoding import decode, digest
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    document_tables,
    expected_tables,
    tables,
    version_of,
)

LOGS = ("-wal", "-journal")
"""The suffixes of SQLite's logs. SQLite applies a log to whatever file it finds under the database's name."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
_PROOF_OF_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_TOOBIG}
_NO_SHARED_MEMORY = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
_HEADER_SIZE = 100
_MAGIC = b"SQLite format 3\0"
_FILE_FORMATS = slice(18, 20)
_USER_VERSION = slice(60, 64)
_APPLICATION_ID = slice(68, 72)


def inspect(path: Path) -> None:
    """Check that the file is a whole database of ours, and not newer than this program.

    Raises:
        StoreCorruptError: it is damaged, or no database of ours.
        StoreVersionError: a newer zeekfleet wrote it.
        StoreError: it cannot be read, or another process uses it.
    """
    expected_tables()  # fails where SQLite is too old for our kind of table: it would find every database damaged
    _check_header(path, _read_header(path))
    with _as_store_errors(path):
        if _is_there(path, "-journal"):
            # A write was interrupted. SQLite must undo it before it can check, and so needs to write.
            _check_copy(path)
            return
        try:
            _check(path, f"{path.absolute().as_uri()}?{_mode(path)}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _NO_SHARED_MEMORY:
                raise
            # The disk has no room for SQLite's shared-memory file. That is no reason not to start.
            _check_copy(path)


def inspect_copy(path: Path, content: BinaryIO) -> None:
    """Check a copy of the file like :func:`inspect`. This reads every byte, and works while we hold SQLite's lock.

    Args:
        path: the file; its logs are read from beside it.
        content: the file, open.
    """
    expected_tables()
    with _as_store_errors(path):
        _check_copy(path, content)


def refuse_orphaned_log(path: Path) -> None:
    """Refuse a log whose database is gone: SQLite would apply it to the next file of that name.

    Raises:
        StoreCorruptError: there is one.
        OSError: the directory cannot be read.
    """
    for suffix in LOGS:
        if _is_there(path, suffix):
            raise StoreCorruptError(path, f"the file is gone, but its log {path.name}{suffix} is still there")


@contextlib.contextmanager
def _as_store_errors(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a database is checked into one of our errors."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_ERROR:
            # Our statements are correct for a database of ours, so this is not one.
            raise StoreCorruptError(path, str(error)) from error
        raise store_error(path, error) from error
    except UnicodeDecodeError as error:  # damaged text in SQLite's own message
        raise StoreCorruptError(path, f"text that is not UTF-8: {error.reason}") from error
    except OSError as error:
        raise StoreError(f"database {path} cannot be looked at: {error.strerror}") from error


def _check(path: Path, uri: str) -> None:
    connection = sqlite3.connect(uri, uri=True, timeout=1.0)
    connection.text_factory = _lenient_text
    try:
        _check_structure(path, connection)
        _check_documents(path, connection)
    finally:
        connection.close()


def _check_copy(path: Path, content: BinaryIO | None = None) -> None:
    """Check a copy, which is made in memory if there is enough memory, else in the temporary directory."""
    places = [_MEMORY] if _MEMORY.is_dir() else []
    for place in (*places, Path(tempfile.gettempdir())):
        with tempfile.TemporaryDirectory(dir=place) as directory:
            copy = Path(directory) / path.name
            try:
                _copy(path, copy, content)
            except OSError as error:
                if error.errno in NO_SPACE and place is _MEMORY:
                    continue
                raise
            _check_header(path, _read_header(copy))
            _check(path, copy.as_uri())
            return


def _copy(path: Path, copy: Path, content: BinaryIO | None) -> None:
    with contextlib.ExitStack() as stack:
        if content is None:
            content = stack.enter_context(path.open("rb"))
        content.seek(0)
        shutil.copyfileobj(content, stack.enter_context(copy.open("wb")))
    for suffix in LOGS:
        if _is_there(path, suffix):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")


def _is_there(path: Path, suffix: str) -> bool:
    """Whether there is a file with this suffix beside the database that is not empty."""
    beside = path.with_name(f"{path.name}{suffix}")
    return beside.exists() and beside.stat().st_size > 0


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """One of our errors for what SQLite reports."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreError(f"database {path} is in use by another process")
    if code in _PROOF_OF_DAMAGE:
        return StoreCorruptError(path, str(error))
    # Anything else may be a fault of the system, or of ours, and proves no damage.
    return StoreError(f"database {path} cannot be used: {error}")


def _lenient_text(text: bytes) -> str:
    return text.decode(errors="replace")


def _mode(path: Path) -> str:
    """How to open it without creating files: only a log that is not empty needs SQLite's shared-memory file."""
    return "mode=ro" if _is_there(path, "-wal") else "mode=ro&immutable=1"


def _read_header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEADER_SIZE)
    except OSError as error:
        raise StoreError(f"database {path} cannot be read: {error.strerror}") from error


def _check_header(path: Path, header: bytes) -> None:
    if len(header) < _HEADER_SIZE:
        raise StoreCorruptError(path, f"only {len(header)} bytes long")
    if not header.startswith(_MAGIC):
        raise StoreCorruptError(path, "no SQLite database")
    if not {*header[_FILE_FORMATS]} <= {1, 2}:  # SQLite would open it, but read-only
        raise StoreCorruptError(path, "a file format that never existed")
    if int.from_bytes(header[_APPLICATION_ID], "big") != APPLICATION_ID:
        raise StoreCorruptError(path, "a database of another program")
    _check_version(path, int.from_bytes(header[_USER_VERSION], "big"))


def _check_version(path: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise StoreVersionError(path, version, SCHEMA_VERSION)
    if version < 1:
        raise StoreCorruptError(path, f"schema version {version} never existed")


def _check_structure(path: Path, connection: sqlite3.Connection) -> None:
    # The version once more: the log may hold a later header than the file.
    version = version_of(connection)
    _check_version(path, version)
    findings = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if findings != ["ok"]:
        raise StoreCorruptError(path, str(findings[0]).replace("\n", " "))
    if tables(connection) != expected_tables(version):
        raise StoreCorruptError(path, "its tables are not what they should be")


def _check_documents(path: Path, connection: sqlite3.Connection) -> None:
    for table in document_tables(version_of(connection)):
        for document, expected in connection.execute(f"SELECT document, digest FROM {table}"):  # noqa: S608 - constants
            if not isinstance(document, bytes) or digest(document) != expected:
                raise StoreCorruptError(path, f"an entry of table {table} was altered")
    for (state,) in connection.execute("SELECT state FROM configuration UNION SELECT state FROM history"):
        if state not in ConfigState.__members__:
            raise StoreCorruptError(path, f"no configuration can be in state {state!r}")
    for (document,) in connection.execute("SELECT document FROM configuration"):
        try:
            decode(document, Configuration)
        except ValueError as error:
            raise StoreCorruptError(path, f"a configuration cannot be read: {error}") from None
