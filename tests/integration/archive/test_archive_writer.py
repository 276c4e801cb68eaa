"""One log at a time: what ends up where, and what is left of failures."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zeekfleet.archive.compression import Compression
from zeekfleet.archive.names import temporary_name
from zeekfleet.archive.writer import CHUNK, ArchiveWriter, Outcome, Step

HOUR = "2024-01-02-03-00-00__2024-01-02-04-00-00"
CONN = f"conn__{HOUR}__.log"
DAY = "2024-01-02"
CONTENT = b"#fields ts uid\n" + os.urandom(3 * CHUNK)


@pytest.mark.parametrize("form", list(Compression), ids=lambda form: form.value)
def test_a_log_moves_into_its_day(spool: Any, form: Compression) -> None:
    if form is Compression.ZSTD:
        pytest.importorskip("zstandard")
    log = spool.rotate(CONN, CONTENT)
    os.utime(spool.queue / CONN, (1000, 2000))
    assert ArchiveWriter(spool.queue, spool.logs, form).put(CONN, log) is Outcome.ARCHIVED
    name = f"{DAY}/conn.03:00:00-04:00:00.log{form.suffix}"
    assert spool.archived() == {name: CONTENT}
    assert spool.waiting() == set()
    assert (spool.logs / name).stat().st_mtime == 2000


def test_what_the_logger_has_compressed_is_not_compressed_again(spool: Any) -> None:
    name = f"conn__{HOUR}__.log.gz"
    log = spool.rotate(name, b"as it is")
    ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(name, log)
    (path,) = spool.logs.glob("*/*")
    assert path.name == "conn.03:00:00-04:00:00.log.gz"
    assert path.read_bytes() == b"as it is"


def test_days_are_as_open_as_the_archive_and_logs_as_the_logger_made_them(spool: Any) -> None:
    log = spool.rotate(CONN, b"x")
    (spool.queue / CONN).chmod(0o640)
    spool.logs.mkdir()
    spool.logs.chmod(0o751)
    ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, log)
    assert stat.S_IMODE((spool.logs / DAY).stat().st_mode) == 0o751
    (path,) = spool.logs.glob("*/*")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_archive_that_we_make_is_ours_alone(spool: Any) -> None:
    ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, spool.rotate(CONN, b"x"))
    assert stat.S_IMODE(spool.logs.stat().st_mode) == 0o700


@pytest.mark.parametrize("form", [Compression.GZIP, Compression.NONE], ids=lambda form: form.value)
def test_logs_that_get_the_same_name_are_all_kept(spool: Any, form: Compression) -> None:
    writer = ArchiveWriter(spool.queue, spool.logs, form)
    for number in range(3):  # the archive's name does not tell the day of the end
        name = f"conn__2024-01-02-03-00-00__2024-01-0{number + 2}-04-00-00__.log"
        assert writer.put(name, spool.rotate(name, b"%d" % number)) is Outcome.ARCHIVED
    assert sorted(spool.archived().values()) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("later", list(Compression), ids=lambda form: form.value)
def test_a_log_that_comes_again_is_not_doubled(spool: Any, later: Compression) -> None:
    """Not even if it is to be compressed in another way now."""
    if later is Compression.ZSTD:
        pytest.importorskip("zstandard")
    ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, spool.rotate(CONN, b"first"))
    ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, spool.rotate(CONN, CONTENT))
    before = spool.archived()
    assert sorted(before.values()) == sorted([CONTENT, b"first"])
    log = spool.rotate(CONN, CONTENT)
    assert ArchiveWriter(spool.queue, spool.logs, later).put(CONN, log) is Outcome.WAS_ARCHIVED
    assert spool.archived() == before
    assert spool.waiting() == set()


@pytest.mark.parametrize("damaged", [b"", b"no gzip at all", None])
def test_a_damaged_file_of_that_name_counts_for_nothing(spool: Any, damaged: bytes | None) -> None:
    writer = ArchiveWriter(spool.queue, spool.logs, Compression.GZIP)
    writer.put(CONN, spool.rotate(CONN, CONTENT))
    (path,) = spool.logs.glob("*/*")
    path.write_bytes(path.read_bytes()[:-9] if damaged is None else damaged)
    assert writer.put(CONN, spool.rotate(CONN, CONTENT)) is Outcome.ARCHIVED
    assert spool.waiting() == set()
    assert (spool.logs / DAY / "conn.03:00:00-04:00:00-2.log.gz").exists()


def test_a_log_that_grows_meanwhile_waits(spool: Any) -> None:
    log = spool.rotate(CONN, b"first half")

    def write_more(step: Step) -> None:
        if step is Step.CHUNK_WRITTEN:
            with (spool.queue / CONN).open("ab") as file:
                file.write(b", second half")

    writer = ArchiveWriter(spool.queue, spool.logs, Compression.GZIP, watcher=write_more)
    assert writer.put(CONN, log) is Outcome.CHANGED
    assert spool.waiting() == {CONN}
    assert spool.archived() == {}


def test_another_log_under_the_same_name_is_not_removed(spool: Any) -> None:
    log = spool.rotate(CONN, b"first")

    def replace(step: Step) -> None:
        if step is Step.RENAMED:
            spool.rotate(CONN, b"second")

    ArchiveWriter(spool.queue, spool.logs, Compression.GZIP, watcher=replace).put(CONN, log)
    assert (spool.queue / CONN).read_bytes() == b"second"
    ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, log)
    assert sorted(spool.archived().values()) == [b"first", b"second"]


def test_stopping_leaves_nothing_behind(spool: Any) -> None:
    log = spool.rotate(CONN, CONTENT)
    chunks: list[Step] = []
    writer = ArchiveWriter(spool.queue, spool.logs, Compression.GZIP, lambda: bool(chunks), chunks.append)
    assert writer.put(CONN, log) is Outcome.STOPPED
    assert spool.waiting() == {CONN}
    assert spool.archived() == {}


def test_a_log_that_has_gone_is_none(spool: Any) -> None:
    log = spool.rotate(CONN, b"x")
    (spool.queue / CONN).unlink()
    assert ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, log) is Outcome.GONE


@pytest.fixture
def small_files() -> Iterator[int]:
    """The kernel refuses files above this size."""
    limit = 2 * CHUNK
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("form", [Compression.GZIP, Compression.ZSTD], ids=lambda form: form.value)
def test_without_room_the_log_stays_where_it_is(spool: Any, form: Compression, request: pytest.FixtureRequest) -> None:
    if form is Compression.ZSTD:
        pytest.importorskip("zstandard")
    log = spool.rotate(CONN, CONTENT)
    request.getfixturevalue("small_files")
    with pytest.raises(OSError, match="too large") as caught:
        ArchiveWriter(spool.queue, spool.logs, form).put(CONN, log)
    assert caught.value.errno == errno.EFBIG
    assert spool.waiting() == {CONN}
    assert spool.archived() == {}


def test_a_link_is_not_followed(spool: Any) -> None:
    log = spool.rotate(CONN, b"x")
    (spool.queue / CONN).rename(spool.root / "elsewhere")
    (spool.queue / CONN).symlink_to(spool.root / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, log)
    assert (spool.root / "elsewhere").exists()


def test_between_file_systems_a_log_is_copied(spool: Any) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == spool.root.stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    import tempfile

    with tempfile.TemporaryDirectory(dir=other) as directory:
        spool.logs = Path(directory) / "logs"
        log = spool.rotate(CONN, CONTENT)
        assert ArchiveWriter(spool.queue, spool.logs, Compression.NONE).put(CONN, log) is Outcome.ARCHIVED
        assert spool.archived() == {f"{DAY}/conn.03:00:00-04:00:00.log": CONTENT}
        assert spool.waiting() == set()


def test_what_a_crash_left_under_the_hidden_name_is_in_nobodys_way(spool: Any) -> None:
    log = spool.rotate(CONN, CONTENT)
    day = spool.logs / DAY
    day.mkdir(parents=True)
    (day / temporary_name(CONN)).write_bytes(b"half of a log")
    assert ArchiveWriter(spool.queue, spool.logs, Compression.GZIP).put(CONN, log) is Outcome.ARCHIVED
    assert list(spool.archived().values()) == [CONTENT]
