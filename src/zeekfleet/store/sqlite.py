"""The default store: one SQLite file, durable before it answers.

It uses a write-ahead log with ``synchronous=FULL``: a ``put`` has reached the disk when it returns, and a crash at any
instant leaves the content either before or after it. The file stays locked while it is open, so that no second
controller can use it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from zeekfleet.errors import StoreCorruptError, StoreError, StoreFullError, StoreWriteError
from zeekfleet.model.management import Configuration
from zeekfleet.model.notifications import Notification
from zeekfleet.store.disk_space import NO_SPACE, try_allocation
from zeekfleet.store.encoding import decode, digest, encode
from zeekfleet.store.inspection import inspect, refuse_orphaned_log, store_error
from zeekfleet.store.interface import (
    HISTORY_LIMIT,
    HISTORY_STATES,
    INSTANCE_LIMIT,
    NOTIFICATION_AGE,
    NOTIFICATION_LIMIT,
    ConfigState,
    HistoryEntry,
    LastHeard,
    check_limit,
)
from zeekfleet.store.schema import create_database, upgrade

Decoded = TypeVar("Decoded", Configuration, Notification, LastHeard)

_LOCK_TIMEOUT = 1.0
_JOURNAL_SIZE_LIMIT = 4 * 1024 * 1024
_ROOM = 64 * 1024
"""Bytes that a change needs beside its documents."""

_COPIES = 4
"""A document may enter two tables, and each time it goes to the log first and then to the file."""

_SET = "INSERT OR REPLACE INTO configuration (state, document, digest) VALUES (?, ?, ?)"
_ADD_HISTORY = "INSERT INTO history (state, time, document, digest) VALUES (?, ?, ?, ?)"
_TRIM_HISTORY = "DELETE FROM history WHERE sequence <= (SELECT max(sequence) FROM history) - ?"
_ADD_NOTIFICATION = "INSERT INTO notification (document, digest) VALUES (?, ?)"
_OLDEST_NOTIFICATION = "SELECT sequence, document, digest FROM notification ORDER BY sequence LIMIT 1"
_SET_INSTANCE = "INSERT OR REPLACE INTO instance (name, time, document, digest) VALUES (?, ?, ?, ?)"
_TRIM_INSTANCES = (
    "DELETE FROM instance WHERE name IN (SELECT name FROM instance ORDER BY time DESC, name LIMIT -1 OFFSET ?)"
)
_TRIM_NOTIFICATIONS = "DELETE FROM notification WHERE sequence <= (SELECT max(sequence) FROM notification) - ?"


class SqliteStore:
    """A :class:`~zeekfleet.store.interface.Store` in one file.

    Args:
        path: the file; it is created (mode 0600) if it is missing, in a directory that must exist.
        clock: the time in seconds since 1970, for the history.

    Raises:
        StoreCorruptError: the file is damaged, cut short, or no database of ours; it is left untouched.
        StoreVersionError: a newer zeekfleet wrote it; it is left untouched.
        StoreError: it cannot be read or created, or another process uses it.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        history_limit: int = HISTORY_LIMIT,
        notification_limit: int = NOTIFICATION_LIMIT,
        instance_limit: int = INSTANCE_LIMIT,
    ) -> None:
        self._path = path
        self._clock = clock
        self._history_limit = history_limit
        self._notification_limit = notification_limit
        self._instance_limit = instance_limit
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = _open(path)
        self._inode = _inode(path)

    def get(self, state: ConfigState) -> Configuration | None:
        rows = self._read("SELECT document, digest FROM configuration WHERE state = ?", state.value)
        for document, expected in rows:
            return self._decoded(document, expected, Configuration)
        return None

    def put(self, changes: Mapping[ConfigState, Configuration]) -> None:
        if not changes:
            return
        now = self._clock()
        documents = {state: encode(configuration) for state, configuration in changes.items()}
        self._check_room(sum(map(len, documents.values())))
        with self._transaction("FULL") as connection:
            for state, document in documents.items():
                connection.execute(_SET, (state.value, document, digest(document)))
                if state in HISTORY_STATES:
                    connection.execute(_ADD_HISTORY, (state.value, now, document, digest(document)))
            connection.execute(_TRIM_HISTORY, (self._history_limit,))

    def check_room(self, configuration: Configuration) -> None:
        self._check_room(len(encode(configuration)))

    def history(self, limit: int = HISTORY_LIMIT) -> Sequence[HistoryEntry]:
        rows = self._read(
            "SELECT sequence, state, time, document, digest FROM history ORDER BY sequence DESC LIMIT ?",
            check_limit(limit),
        )
        return [
            HistoryEntry(sequence, ConfigState(state), when, self._decoded(document, expected, Configuration))
            for sequence, state, when, document, expected in rows
        ]

    def record(self, notification: Notification) -> None:
        document = encode(notification)
        # NORMAL saves an fsync for each: a power failure may lose the latest of them, a crash of ours loses none.
        with self._transaction("NORMAL") as connection:
            self._expire(connection, notification.time - NOTIFICATION_AGE)
            connection.execute(_ADD_NOTIFICATION, (document, digest(document)))
            connection.execute(_TRIM_NOTIFICATIONS, (self._notification_limit,))

    def notifications(self, limit: int = NOTIFICATION_LIMIT) -> Sequence[Notification]:
        rows = self._read(
            "SELECT document, digest FROM notification ORDER BY sequence DESC LIMIT ?", check_limit(limit)
        )
        return [self._decoded(document, expected, Notification) for document, expected in reversed(rows)]

    def remember(self, heard: Sequence[LastHeard]) -> None:
        if not heard:
            return
        documents = [(one.instance, one.heard_at, encode(one)) for one in heard]
        with self._transaction("NORMAL") as connection:
            connection.executemany(
                _SET_INSTANCE, [(name, at, document, digest(document)) for name, at, document in documents]
            )
            connection.execute(_TRIM_INSTANCES, (self._instance_limit,))

    def remembered(self) -> Sequence[LastHeard]:
        rows = self._read("SELECT document, digest FROM instance ORDER BY name LIMIT ?", self._instance_limit)
        return [self._decoded(document, expected, LastHeard) for document, expected in rows]

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _expire(self, connection: sqlite3.Connection, before: float) -> None:
        """Remove the oldest notifications up to the first that is younger."""
        while (row := connection.execute(_OLDEST_NOTIFICATION).fetchone()) is not None:
            sequence, document, expected = row
            if self._decoded(document, expected, Notification).time >= before:
                return
            connection.execute("DELETE FROM notification WHERE sequence = ?", (sequence,))

    def _check_room(self, size: int) -> None:
        """Refuse a change that the disk has no room for: SQLite's log might take it, but never pass it to the file."""
        if self._inode != _inode(self._path):
            # SQLite would write to the file that was removed, and the change would be lost with this process.
            raise StoreWriteError(f"database {self._path} is not in its directory any more")
        directory = self._path.parent
        try:
            try_allocation(directory, _ROOM + _COPIES * size)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise StoreFullError(directory) from error
            raise StoreWriteError(f"directory {directory} cannot be written: {error.strerror}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"database {self._path} is closed")
        return self._connection

    def _read(self, statement: str, argument: str | int) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._opened().execute(statement, (argument,)).fetchall()
            except sqlite3.Error as error:
                raise store_error(self._path, error) from error

    @contextlib.contextmanager
    def _transaction(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._opened()
            try:
                connection.execute(f"PRAGMA synchronous = {synchronous}")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
                    raise StoreFullError(self._path.parent) from error
                raise StoreWriteError(f"database {self._path} did not take a change: {error}") from error
            finally:
                if connection.in_transaction:
                    # Where this fails, SQLite has rolled back already.
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    def _decoded(self, document: object, expected: object, kind: type[Decoded]) -> Decoded:
        if not isinstance(document, bytes) or digest(document) != expected:
            raise StoreCorruptError(self._path, "an entry was altered")
        try:
            return decode(document, kind)
        except ValueError as error:
            raise StoreCorruptError(self._path, f"an entry cannot be read: {error}") from None


def _inode(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file under this name, None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open(path: Path) -> sqlite3.Connection:
    try:
        if path.is_symlink():
            raise StoreError(f"database {path} cannot be used: it is a symbolic link, expected a file")
        if not path.exists():
            refuse_orphaned_log(path)
            create_database(path)
        inspect(path)
        path.chmod(0o600)
        return _connect(path)
    except OSError as error:
        raise StoreError(f"database {path} cannot be used: {error.strerror}") from error
    except sqlite3.Error as error:
        raise store_error(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_SIZE_LIMIT}")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = FULL")
        upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection
