"""The SQLite file: survival, refusal of what is damaged, foreign or newer, modes, locks."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekfleet.errors import StoreCorruptError, StoreError, StoreVersionError, StoreWriteError
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.store import schema
from zeekfleet.store.interface import ConfigState, LastHeard
from zeekfleet.store.schema import SCHEMA_VERSION
from zeekfleet.store.sqlite import SqliteStore


def numbered(number: int) -> Configuration:
    """Large enough for several pages, recognisable by its id."""
    return Configuration(id=str(number), instances=tuple(Instance(f"instance-{number}-{i}") for i in range(100)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def filled(path: Path) -> Path:
    store = SqliteStore(path)
    for number in range(3):
        store.put({ConfigState.STAGED: numbered(number), ConfigState.READY: numbered(number)})
    store.record(Notification(NotificationKind.ERROR, 1.0, "a", message="text"))
    store.close()
    return path


def snapshot(directory: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in directory.iterdir()}


def assert_refused_untouched(path: Path, error: type[StoreError], match: str) -> None:
    before = snapshot(path.parent)
    with pytest.raises(error, match=match):
        SqliteStore(path)
    assert snapshot(path.parent) == before


def test_content_outlives_the_store(filled: Path) -> None:
    store = SqliteStore(filled)
    assert store.get(ConfigState.STAGED) == numbered(2)
    assert [entry.id for entry in store.history()] == ["2", "1", "0"]
    assert [entry.message for entry in store.notifications()] == ["text"]
    store.close()


def test_the_files_are_for_their_owner_only(path: Path) -> None:
    previous = os.umask(0)
    try:
        store = SqliteStore(path)
        store.put({ConfigState.STAGED: numbered(1)})
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(previous)
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600}


def test_a_loose_mode_is_tightened(filled: Path) -> None:
    filled.chmod(0o644)
    SqliteStore(filled).close()
    assert stat.S_IMODE(filled.stat().st_mode) == 0o600


def test_write_ahead_log_and_full_synchronisation(path: Path) -> None:
    store = SqliteStore(path)
    store.put({ConfigState.STAGED: numbered(1)})
    connection = store._connection
    assert connection is not None
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_only_one_process_may_use_it(filled: Path) -> None:
    store = SqliteStore(filled)
    with pytest.raises(StoreError, match="is in use by another process"):
        SqliteStore(filled)
    store.put({ConfigState.STAGED: numbered(4)})
    with pytest.raises(StoreError, match="is in use by another process"):
        SqliteStore(filled)
    assert store.get(ConfigState.STAGED) == numbered(4)
    store.close()
    SqliteStore(filled).close()


def test_a_draft_left_by_a_crash_is_no_obstacle(path: Path) -> None:
    path.with_name("state.db.new").write_bytes(b"half")
    SqliteStore(path).close()
    assert not path.with_name("state.db.new").exists()


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used: No such file or directory"):
        SqliteStore(tmp_path / "nowhere" / "state.db")


def test_a_directory_in_its_place_is_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        SqliteStore(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told(filled: Path) -> None:
    filled.chmod(0)
    with pytest.raises(StoreError, match="cannot be read: Permission denied"):
        SqliteStore(filled)


def test_an_unreadable_file_is_told_to_root_as_well(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StoreError, match="cannot be read: Permission denied"):
        SqliteStore(filled)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"no database at all " * 100])
def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert_refused_untouched(path, StoreCorruptError, "left untouched")


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    assert_refused_untouched(path, StoreCorruptError, "a database of another program")


def test_a_newer_schema_is_refused(filled: Path) -> None:
    connection = sqlite3.connect(filled)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = snapshot(filled.parent)
    with pytest.raises(StoreVersionError) as caught:
        SqliteStore(filled)
    assert (caught.value.path, caught.value.version) == (filled, SCHEMA_VERSION + 1)
    assert snapshot(filled.parent) == before


def test_a_newer_schema_still_in_the_log_is_refused(filled: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(filled)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    shutil.copy(filled, crashed / "state.db")
    shutil.copy(f"{filled}-wal", crashed / "state.db-wal")
    connection.close()
    before = (crashed / "state.db").read_bytes()
    with pytest.raises(StoreVersionError):
        SqliteStore(crashed / "state.db")
    assert (crashed / "state.db").read_bytes() == before


def test_a_log_without_its_file_is_refused(path: Path) -> None:
    path.with_name("state.db-wal").write_bytes(b"the last commits of a file that was deleted")
    assert_refused_untouched(path, StoreCorruptError, "the file is gone, but its log state.db-wal is still there")


def test_missing_tables_are_refused(filled: Path) -> None:
    connection = sqlite3.connect(filled)
    connection.execute("DROP TABLE history")
    connection.close()
    assert_refused_untouched(filled, StoreCorruptError, "its tables are not what they should be")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"sequence INTEGER", b"sAquence INTEGER"), (b"TABLE history", b"TABLE \x80istory"), (b"STAGED", b"STAGE\x80")],
)
def test_damaged_definitions_are_refused(filled: Path, old: bytes, new: bytes) -> None:
    content = filled.read_bytes()
    assert old in content
    filled.write_bytes(content.replace(old, new))
    assert_refused_untouched(filled, StoreCorruptError, "left untouched")


def test_an_altered_entry_is_refused(filled: Path) -> None:
    content = filled.read_bytes()
    assert b"instance-2-7" in content
    filled.write_bytes(content.replace(b"instance-2-7", b"instance-9-7"))
    assert_refused_untouched(filled, StoreCorruptError, "was altered")


def test_an_entry_damaged_while_open_is_told(filled: Path) -> None:
    store = SqliteStore(filled)
    connection = store._connection
    assert connection is not None
    connection.execute("UPDATE configuration SET document = CAST('{}' AS BLOB)")
    with pytest.raises(StoreCorruptError, match="an entry was altered"):
        store.get(ConfigState.STAGED)
    store.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_short_anywhere_is_refused_untouched(filled: Path, data: st.DataObject) -> None:
    whole = filled.read_bytes()
    cut = filled.with_name("cut.db")
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert_refused_untouched(cut, StoreCorruptError, "left untouched")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_untouched_or_harmless(filled: Path, data: st.DataObject) -> None:
    damaged = filled.with_name("damaged.db")
    for beside in ("damaged.db-wal", "damaged.db-shm"):
        filled.with_name(beside).unlink(missing_ok=True)
    content = bytearray(filled.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=600))
    content[start : start + len(garbage)] = garbage
    damaged.write_bytes(content)
    try:
        store = SqliteStore(damaged)
    except StoreError:
        assert damaged.read_bytes() == bytes(content)
        return
    try:
        assert store.get(ConfigState.STAGED) == numbered(2)
        assert store.get(ConfigState.READY) == numbered(2)
        assert {entry.id for entry in store.history()} <= {"0", "1", "2"}
    finally:
        store.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_log_cut_short_anywhere_leaves_a_whole_state(path: Path, data: st.DataObject) -> None:
    path.unlink(missing_ok=True)
    store = SqliteStore(path)
    for number in range(4):
        store.put({ConfigState.READY: numbered(number), ConfigState.DEPLOYED: numbered(number)})
    crashed = path.with_name("crashed.db")
    for beside in ("", "-shm"):
        path.with_name(f"crashed.db{beside}").unlink(missing_ok=True)
    shutil.copy(path, crashed)
    log = Path(f"{path}-wal").read_bytes()
    store.close()
    Path(f"{crashed}-wal").write_bytes(log[: data.draw(st.integers(0, len(log)))])
    again = SqliteStore(crashed)
    try:
        ready, deployed = again.get(ConfigState.READY), again.get(ConfigState.DEPLOYED)
        assert ready == deployed
        assert ready is None or ready == numbered(int(ready.id))
        assert len(again.history()) == (0 if ready is None else int(ready.id) + 1)
    finally:
        again.close()


def test_a_full_disk_is_told_and_survived(filled: Path) -> None:
    store = SqliteStore(filled)
    connection = store._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(3, 30):
            store.put({ConfigState.STAGED: numbered(number), ConfigState.READY: numbered(number)})

    with pytest.raises(StoreWriteError, match=r"^no space left in directory "):
        fill()
    staged = store.get(ConfigState.STAGED)
    assert staged is not None
    assert staged == store.get(ConfigState.READY)
    connection.execute("PRAGMA max_page_count = 1000000")
    store.put({ConfigState.STAGED: numbered(99)})
    assert store.get(ConfigState.STAGED) == numbered(99)
    store.close()


@pytest.mark.parametrize("what", ["file", "directory"])
def test_nothing_is_acknowledged_that_would_go_with_the_process(tmp_path: Path, what: str) -> None:
    """A file that was removed while it is open takes every write, and keeps none."""
    place = tmp_path / "place"
    place.mkdir()
    store = SqliteStore(place / "state.db")
    try:
        store.put({ConfigState.STAGED: numbered(1)})
        if what == "file":
            (place / "state.db").unlink()
        else:
            place.rename(tmp_path / "elsewhere")
        with pytest.raises(StoreWriteError, match="is not in its directory any more"):
            store.put({ConfigState.STAGED: numbered(2)})
        with pytest.raises(StoreWriteError, match="is not in its directory any more"):
            store.check_room(numbered(2))
        assert store.get(ConfigState.STAGED) == numbered(1)
        if what == "directory":
            (tmp_path / "elsewhere").rename(place)
            store.put({ConfigState.STAGED: numbered(2)})
    finally:
        store.close()


FIRST_VERSION = f"""
PRAGMA application_id = {0x5A4B464C};
PRAGMA user_version = 1;
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


@pytest.fixture
def former(filled: Path, tmp_path: Path) -> Path:
    """A database as the first version wrote it, with the same content."""
    path = tmp_path / "former" / "state.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_VERSION)
        connection.execute("ATTACH ? AS filled", (str(filled),))
        for table in ("configuration", "history", "notification"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM filled.{table}")
    connection.close()
    return path


def test_a_database_of_the_first_version_is_taken_over(former: Path) -> None:
    heard = LastHeard("a", 17.0)
    store = SqliteStore(former)
    assert store.get(ConfigState.STAGED) == numbered(2)
    assert [entry.id for entry in store.history()] == ["2", "1", "0"]
    assert [entry.message for entry in store.notifications()] == ["text"]
    assert list(store.remembered()) == []
    store.remember([heard])
    store.close()
    again = SqliteStore(former)
    assert list(again.remembered()) == [heard]
    again.close()
    with sqlite3.connect(former) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(former: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schema._ADDED, 2, schema._ADDED[2] + "CREATE NONSENSE")
    with pytest.raises(StoreError):
        SqliteStore(former)
    monkeypatch.undo()
    store = SqliteStore(former)
    assert store.get(ConfigState.STAGED) == numbered(2)
    store.close()


def test_a_former_database_with_other_tables_is_refused(former: Path) -> None:
    connection = sqlite3.connect(former)
    connection.execute("CREATE TABLE instance (name TEXT)")
    connection.close()
    assert_refused_untouched(former, StoreCorruptError, "its tables are not what they should be")
