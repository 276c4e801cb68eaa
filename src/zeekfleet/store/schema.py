"""The database's tables: how they are created, upgraded and recognized."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

APPLICATION_ID = 0x5A4B464C
"""Marks a SQLite file as ours ("ZKFL"; ``PRAGMA application_id``)."""

SCHEMA_VERSION = 2
"""The ``PRAGMA user_version`` that this program writes; every change of the tables adds one."""

DOCUMENT_TABLES = {1: ("configuration", "history", "notification"), 2: ("instance",)}
"""The tables that each version has added; each row holds a JSON document and its digest."""

_FIRST = """
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

_ADDED = {
    2: """
CREATE TABLE instance (
    name TEXT PRIMARY KEY, time REAL NOT NULL, document BLOB NOT NULL, digest BLOB NOT NULL
) WITHOUT ROWID, STRICT;
"""
}
"""The tables that each later version adds. Former tables never change, so an upgrade rewrites no rows."""


def _schema(version: int) -> str:
    """The statements that make an empty database of that version."""
    added = (_ADDED[number] for number in range(2, version + 1))
    settings = f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\n"
    return "".join((settings, _FIRST, *added))


def create_database(path: Path) -> None:
    """Create an empty database, under another name until it is whole.

    So an empty or half-written file under its own name always means damage.

    Raises:
        OSError, sqlite3.Error: it could not be created.
    """
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(draft)) as connection:
            connection.executescript(_schema(SCHEMA_VERSION))
        sync(draft)
        draft.rename(path)
        sync(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def tables(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """The tables as SQLite describes them: kind, name, definition."""
    return connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()


def expected_tables(version: int = SCHEMA_VERSION) -> list[tuple[object, ...]]:
    """What :func:`tables` returns for a sound database of that version."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_schema(version))
        return tables(connection)


def document_tables(version: int) -> tuple[str, ...]:
    """The tables of that version that hold documents."""
    return tuple(table for added, names in DOCUMENT_TABLES.items() if added <= version for table in names)


def upgrade(connection: sqlite3.Connection) -> None:
    """Upgrade a sound database of a former version to the present one, in one transaction.

    Raises:
        sqlite3.Error: it failed; the database is as it was.
    """
    version = version_of(connection)
    if version == SCHEMA_VERSION:
        return
    statements = [
        statement for number in range(version + 1, SCHEMA_VERSION + 1) for statement in _ADDED[number].split(";\n")
    ]
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in filter(str.strip, statements):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The version of its tables."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def sync(path: Path) -> None:
    """Write a file, or the names in a directory, to disk before returning.

    Raises:
        OSError: that failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
