"""Quarantine of a database: what is proven damaged or newer is renamed with all it has, and overwrites nothing."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekfleet.errors import StoreCorruptError, StoreError, StoreQuarantinedError
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.store import inspection, quarantine
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.sqlite import SqliteStore

NOON = 1795348200.0
STAMP = "20261122T115000Z"
GARBAGE = b"no database at all " * 100


def numbered(number: int) -> Configuration:
    return Configuration(id=str(number), instances=tuple(Instance(f"instance-{number}-{i}") for i in range(100)))


def opened(path: Path) -> SqliteStore:
    return quarantine.open_or_quarantine(path, SqliteStore, lambda: NOON)


def snapshot(directory: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in directory.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def filled(path: Path) -> Path:
    store = SqliteStore(path)
    for number in range(3):
        store.put({ConfigState.STAGED: numbered(number), ConfigState.READY: numbered(number)})
    store.close()
    return path


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def no_database(path: Path) -> None:
    path.write_bytes(GARBAGE)


def of_another_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE x (y)")
    connection.close()


def without_a_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE history")
    connection.close()


def altered(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"instance-2-7", b"instance-9-7"))


@pytest.mark.parametrize("damage", [cut_short, emptied, no_database, of_another_program, without_a_table, altered])
def test_what_is_damaged_is_set_aside_and_the_next_one_is_empty(filled: Path, damage: Callable[[Path], None]) -> None:
    damage(filled)
    content = filled.read_bytes()
    with pytest.raises(StoreQuarantinedError) as caught:
        opened(filled)
    name = f"state.db.damaged-{STAMP}"
    assert (caught.value.path, caught.value.quarantine) == (filled, filled.with_name(name))
    assert str(caught.value).startswith(f"database {filled} is corrupt (")
    assert str(caught.value).endswith(
        f"); it was set aside as {name}, and the next start begins with an empty one;"
        " to go back to it, stop the controller and rename it back"
    )
    assert snapshot(filled.parent) == {name: content}
    assert quarantine.latest(filled) == filled.with_name(name)
    store = opened(filled)
    assert store.get(ConfigState.STAGED) is None
    store.put({ConfigState.STAGED: numbered(7)})
    store.close()
    assert filled.with_name(name).read_bytes() == content


def test_what_is_newer_is_named_so(filled: Path) -> None:
    with sqlite3.connect(filled) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(
        StoreQuarantinedError, match=rf"version 7, .* set aside as state.db.newer-version-7-{STAMP}, and"
    ):
        opened(filled)
    assert [*snapshot(filled.parent)] == [f"state.db.newer-version-7-{STAMP}"]


def test_all_that_is_beside_it_goes_with_it(path: Path) -> None:
    files = {"": GARBAGE, "-wal": b"log", "-shm": b"index", "-journal": b"journal"}
    for part, content in files.items():
        path.with_name(f"state.db{part}").write_bytes(content)
    path.with_name("state.db.bak").write_bytes(b"somebody else's")
    with pytest.raises(
        StoreQuarantinedError, match=f"as state.db.damaged-{STAMP} and state.db.damaged-{STAMP}-wal and "
    ):
        opened(path)
    expected = {f"state.db.damaged-{STAMP}{part}": content for part, content in files.items()}
    assert snapshot(path.parent) == expected | {"state.db.bak": b"somebody else's"}
    assert quarantine.latest(path) == path.with_name(f"state.db.damaged-{STAMP}")


@pytest.mark.parametrize("part", ["-wal", "-journal"])
def test_a_log_without_its_file_goes_alone(path: Path, part: str) -> None:
    path.with_name(f"state.db{part}").write_bytes(b"the last commits of a file that was deleted")
    with pytest.raises(
        StoreQuarantinedError, match=f"the file is gone, .* set aside as state.db.damaged-{STAMP}{part}, "
    ):
        opened(path)
    assert [*snapshot(path.parent)] == [f"state.db.damaged-{STAMP}{part}"]
    assert quarantine.latest(path) == path.with_name(f"state.db.damaged-{STAMP}")
    opened(path).close()


def test_nothing_is_written_over(path: Path) -> None:
    """A name counts as taken if anything has it, with any ending, be it a link to nowhere."""
    path.with_name(f"state.db.damaged-{STAMP}").write_bytes(b"1")
    path.with_name(f"state.db.damaged-{STAMP}.2-wal").symlink_to("nowhere")
    for number in range(3, 12):
        path.write_bytes(GARBAGE + bytes([number]))
        with pytest.raises(StoreQuarantinedError, match=rf"as state.db.damaged-{STAMP}\.{number}, "):
            opened(path)
        assert quarantine.latest(path) == path.with_name(f"state.db.damaged-{STAMP}.{number}")
    assert path.with_name(f"state.db.damaged-{STAMP}").read_bytes() == b"1"
    assert path.with_name(f"state.db.damaged-{STAMP}.11").read_bytes() == GARBAGE + bytes([11])


@pytest.mark.parametrize(("links", "removed"), [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2)])
def test_what_ended_half_way_goes_on_under_the_same_name(path: Path, links: int, removed: int) -> None:
    files = {"": GARBAGE, "-wal": b"log", "-journal": b"journal"}
    former = path.with_name("state.db.damaged-20200101T000000Z")
    for part, content in files.items():
        path.with_name(f"state.db{part}").write_bytes(content)
    for part in [*files][:links]:
        os.link(f"{path}{part}", f"{former}{part}")
    for part in [*files][:removed]:
        path.with_name(f"{path.name}{part}").unlink()
    with pytest.raises(StoreQuarantinedError):
        opened(path)
    base = former.name if links else f"state.db.damaged-{STAMP}"
    assert snapshot(path.parent) == {f"{base}{part}": content for part, content in files.items()}


def test_of_several_the_latest_is_found(path: Path) -> None:
    assert quarantine.latest(path) is None
    for name in (
        "state.db",
        "state.db-wal",
        "state.db.new",
        "state.db.damaged-lately",
        "other.damaged-20300101T000000Z",
    ):
        path.with_name(name).touch()
    assert quarantine.latest(path) is None
    for name in (
        f"newer-version-12-{STAMP}",
        "damaged-20261122T114959Z.3",
        f"damaged-{STAMP}.10",
        f"damaged-{STAMP}.9-wal",
    ):
        path.with_name(f"state.db.{name}").touch()
    assert quarantine.latest(path) == path.with_name(f"state.db.damaged-{STAMP}.10")


# --- what is left where it is


def assert_left(path: Path, match: str) -> None:
    before = snapshot(path.parent)
    with pytest.raises(StoreError, match=match) as caught:
        opened(path)
    assert type(caught.value) is StoreError
    assert snapshot(path.parent) == before


def test_a_directory_in_its_place_is_left(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        opened(path)
    assert [*path.parent.iterdir()] == [path]


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = " + sys.argv[2])
connection.execute("SELECT count(*) FROM history").fetchall()
if sys.argv[2] == "DELETE":
    connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_what_another_process_uses_is_left(filled: Path, mode: str) -> None:
    """It may be half way through a write: what is damaged now will be whole then."""
    command = [sys.executable, "-c", HOLDER, str(filled), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with filled.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096)
        assert_left(filled, "is corrupt .* left untouched, and could not be set aside: another process uses it$")
        holder.communicate(timeout=60)
    with pytest.raises(StoreQuarantinedError):
        opened(filled)


def test_what_the_disk_does_not_give_is_left(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite tells of an unreadable page as if it were a damaged one."""
    cut_short(filled)

    def broken(_source: BinaryIO, _target: BinaryIO) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(shutil, "copyfileobj", broken)
    assert_left(filled, r"could not be set aside: a second look failed: .* cannot be looked at: Input/output error$")


def test_what_is_damaged_only_at_first_sight_is_left(filled: Path) -> None:
    def refuse(path: Path) -> SqliteStore:
        raise StoreCorruptError(path, "a page was being written")

    with pytest.raises(StoreError, match=r"could not be set aside: a second look found nothing wrong$"):
        quarantine.open_or_quarantine(filled, refuse)
    opened(filled).close()


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY]
)
def test_what_sqlite_lays_on_the_system_is_no_proof(path: Path, code: int) -> None:
    error = sqlite3.OperationalError("something")
    error.sqlite_errorcode = code
    assert type(inspection.store_error(path, error)) is StoreError


def test_an_sqlite_that_is_too_old_proves_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_version: int = 1) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(":memory:")
        try:
            return connection.execute("CREATE TABLE x (y) STRANGE").fetchall()
        finally:
            connection.close()

    monkeypatch.setattr(inspection, "expected_tables", refuse)
    assert_left(filled, "cannot be used: ")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_where_nothing_can_be_renamed_it_is_left(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path.write_bytes(GARBAGE)
    path.with_name("state.db-wal").write_bytes(b"log")
    link = os.link

    def refuse_second(source: Path, target: Path) -> None:
        if target.name.endswith("-wal"):
            raise OSError(number, os.strerror(number))
        link(source, target)

    monkeypatch.setattr(os, "link", refuse_second)
    assert_left(path, rf"is corrupt .*; it was left untouched, and could not be set aside: {os.strerror(number)}$")


def test_a_symbolic_link_is_not_followed(filled: Path) -> None:
    elsewhere = filled.with_name("elsewhere.db")
    filled.rename(elsewhere)
    filled.symlink_to(elsewhere)
    assert_left(filled, "cannot be used: it is a symbolic link, expected a file$")


READ_ONLY = """
import os, sys
from pathlib import Path
from zeekfleet.errors import StoreError
from zeekfleet.store.quarantine import open_or_quarantine
from zeekfleet.store.sqlite import SqliteStore
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    open_or_quarantine(Path(sys.argv[1]), SqliteStore)
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that other users may reach: those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)
        Path(place).chmod(0o755)


@pytest.mark.parametrize("what", ["directory", "file"])
def test_without_permission_it_is_left(public: Path, what: str) -> None:
    path = public / "state.db"
    path.write_bytes(GARBAGE)
    public.chmod(0o555 if what == "directory" else 0o777)
    path.chmod(0o666 if what == "directory" else 0o444)
    command = [sys.executable, "-c", READ_ONLY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith(f"StoreError database {path} is corrupt ("), done
    assert done.stdout.endswith("left untouched, and could not be set aside: Permission denied\n")
    assert snapshot(public) == {path.name: GARBAGE}


# --- logs that SQLite would apply


def test_a_write_that_was_interrupted_is_no_damage(filled: Path, tmp_path: Path) -> None:
    """As after a loss of power while the file was written in place: its journal has what was there before."""
    place = tmp_path / "place"
    place.mkdir()
    connection = sqlite3.connect(filled, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE history SET document = zeroblob(40000)")
    copy = place / "state.db"
    shutil.copy(f"{filled}-journal", f"{copy}-journal")
    shutil.copy(filled, copy)
    connection.execute("ROLLBACK")
    connection.close()
    assert copy.read_bytes() != filled.read_bytes()
    store = opened(copy)
    assert store.get(ConfigState.STAGED) == numbered(2)
    assert [entry.id for entry in store.history()] == ["2", "1", "0"]
    store.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_damage_the_start_after_next_serves(filled: Path, data: st.DataObject) -> None:
    place = filled.with_name("place")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    content = bytearray(filled.read_bytes())
    start = data.draw(st.one_of(st.integers(0, 99), st.integers(0, len(content) - 1)))
    garbage = data.draw(st.binary(min_size=1, max_size=600))
    content[start : start + len(garbage)] = garbage
    damaged = place / "state.db"
    damaged.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    before = damaged.read_bytes()
    store, refused_as = first_opened(damaged)
    if refused_as is not None:
        assert snapshot(place) == {refused_as: before}
        store = opened(damaged)
        assert not store.history()
    assert store is not None
    store.put({ConfigState.STAGED: numbered(7)})
    store.close()


def first_opened(path: Path) -> tuple[SqliteStore | None, str | None]:
    """The store, or the name under which it was set quarantine."""
    try:
        return opened(path), None
    except StoreQuarantinedError as refusal:
        return None, refusal.quarantine.name
