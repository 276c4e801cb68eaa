"""The database's tables, and how a new one comes to be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

APPLICATION_ID = 0x5A4B464C
"""Marks a SQLite file as ours ("ZKFL"; ``PRAGMA application_id``)."""

SCHEMA_VERSION = 1
"""``PRAGMA user_version`` of what this program writes; it counts up with every change of the tables."""

DOCUMENT_TABLES = ("configuration", "history", "notification")
"""The tables; each row holds a JSON document and the digest of it."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE configuration (
    state TEXT PRIMARY KEY, document BLOB NOT NULL, digest BLOB NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE history (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL, time REAL NOT NULL, document BLOB NOT NULL, digest BLOB NOT NULL
) STRICT;
CREATE TABLE notification (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, document BLOB NOT NULL, digest BLOB NOT NULL
) STRICT;
"""


def create_database(path: Path) -> None:
    """Make an empty database that appears under its name only when it is whole.

    So an empty or half-written file under that name always means damage.

    Raises:
        OSError, sqlite3.Error: it could not be made.
    """
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(draft)) as connection:
            connection.executescript(_SCHEMA)
        sync(draft)
        draft.rename(path)
        sync(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def tables(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """What SQLite knows of the tables: kind, name, definition."""
    return connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()


def expected_tables() -> list[tuple[object, ...]]:
    """What :func:`tables` gives for a sound database of this version."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return tables(connection)


def sync(path: Path) -> None:
    """Have a file, or the names in a directory, on disk on return.

    Raises:
        OSError: it could not be.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
