"""The names of logs on their way into the archive, expiry, and the command line of another archiver."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path

import pytest

from zeekfleet.archive import compression
from zeekfleet.archive.command import command_line
from zeekfleet.archive.compression import Compression
from zeekfleet.archive.expiry import ArchivedLog, Room, too_much, too_old
from zeekfleet.archive.names import RotatedLog, opening_time, parse_day, parse_rotated, temporary_name
from zeekfleet.errors import SettingsError
from zeekfleet.resolution import resolve

HOUR = "2024-01-01-00-00-00__2024-01-01-01-00-00"


@pytest.mark.parametrize(
    ("name", "archived"),
    [  # what zeek-archiver 0.50 made of them, before compression
        ("conn__2024-03-31-01-59-59__2024-03-31-03-00-00__.log", "2024-03-31/conn.01:59:59-03:00:00.log"),
        (
            "conn__2024-02-29-23-30-00__2024-03-01-00-30-00__log_suffix=logger-1__.log",
            "2024-02-29/conn.23:30:00-00:30:00-logger-1.log",
        ),
        (f"dns__{HOUR}__log_suffix=logger-1,pid=4711__.log", "2024-01-01/dns.00:00:00-01:00:00-logger-1.log"),
        (f"http__{HOUR}__pid=1, log_suffix = b __.log", "2024-01-01/http.00:00:00-01:00:00-b.log"),
        (f"ssl__{HOUR}____.log", "2024-01-01/ssl.00:00:00-01:00:00.log"),
        (f"x509__{HOUR}__.log.gz", "2024-01-01/x509.00:00:00-01:00:00.log.gz"),
        (f"files__{HOUR}__.json", "2024-01-01/files.00:00:00-01:00:00.json"),
        (f"a_b__{HOUR}__.log", "2024-01-01/a_b.00:00:00-01:00:00.log"),
        (f"odd__{HOUR}___.log", "2024-01-01/odd.00:00:00-01:00:00_.log"),
        (f"noext__{HOUR}__", "2024-01-01/noext.00:00:00-01:00:00"),
    ],
)
def test_names_are_those_of_zeek_archiver(name: str, archived: str) -> None:
    log = parse_rotated(name)
    assert log is not None
    assert f"{log.day}/{log.archived_name()}" == archived


@pytest.mark.parametrize(
    "name",
    [
        f"bad__{HOUR}__novalue__.log",
        f"bad__{HOUR}__a=b=c__.log",
        f"bad__{HOUR}__=x__.log",
        f"bad__{HOUR}__log_suffix= __.log",
        "bad__2024-13-01-00-00-00__2024-01-01-01-00-00__.log",
        "bad__2023-02-29-00-00-00__2024-01-01-01-00-00__.log",
        "bad__2024-01-01-00-00-00__.log",
        "conn.log",
        f".hidden__{HOUR}__.log",
        f"__{HOUR}__.log",
        "",
        "bad__٢٠٢٤-01-01-00-00-00__2024-01-01-01-00-00__.log",
    ],
)
def test_files_that_zeek_archiver_ignores_are_ignored(name: str) -> None:
    assert parse_rotated(name) is None


def test_two_underscores_in_a_path_or_suffix_do_no_harm() -> None:
    log = parse_rotated(f"two__under__{HOUR}__log_suffix=logger__1__.log")
    assert log is not None
    assert (log.path, log.suffix, log.extension) == ("two__under", "logger__1", ".log")


def test_namesakes_have_numbers() -> None:
    log = RotatedLog("conn", datetime(2024, 1, 1), datetime(2024, 1, 1, 1), "logger-1")
    assert log.archived_name(2) == "conn.00:00:00-01:00:00-logger-1-2.log"
    assert opening_time(log.archived_name(2) + ".gz") == "00:00:00"


def test_compressed_files_are_recognized() -> None:
    moment = datetime(2024, 1, 1)
    assert RotatedLog("a", moment, moment, extension=".log.gz").compressed
    assert not RotatedLog("a", moment, moment, extension=".log").compressed


@pytest.mark.parametrize("name", ["2024-1-1", "2024-02-30", "20240101", "x", "2024-01-01x", ".2024-01-01"])
def test_other_directories_do_not_belong_to_the_archive(name: str) -> None:
    assert parse_day(name) is None


@pytest.mark.parametrize("name", ["README", ".conn.00:00:00-01:00:00.log", "conn.log.gz", temporary_name("x")])
def test_other_files_do_not_belong_to_the_archive(name: str) -> None:
    assert opening_time(name) is None


def archived(day: int, opened: str, size: int = 10) -> ArchivedLog:
    return ArchivedLog(date(2024, 1, day), opened, f"conn.{opened}-23:59:59.log.gz", size)


LOGS = [archived(3, "01:00:00"), archived(1, "02:00:00"), archived(1, "01:00:00"), archived(2, "00:00:00")]
TODAY = date(2024, 1, 3)


@pytest.mark.parametrize(("days", "gone"), [(0, 0), (3, 0), (2, 0), (1, 2)])
def test_logs_expire_by_age(days: int, gone: int) -> None:
    assert too_old(LOGS, TODAY, days) == sorted(LOGS)[:gone]


@pytest.mark.parametrize(
    ("used", "percent", "gone"),
    [(80, 0, 0), (80, 80, 0), (81, 80, 1), (90, 80, 1), (91, 80, 2), (110, 80, 3), (200, 80, 3)],
)
def test_the_oldest_make_room(used: int, percent: float, gone: int) -> None:
    # Three of them at most: the fourth is of today.
    assert too_much(LOGS, TODAY, Room(used, 100 - used), percent) == sorted(LOGS)[:gone]


@pytest.mark.parametrize("form", list(Compression), ids=lambda form: form.value)
def test_compression_is_undone(form: Compression) -> None:
    if form is Compression.ZSTD:
        pytest.importorskip("zstandard")
    stream = io.BytesIO()
    sink = compression.writer(form, stream)
    sink.write(b"one ")
    sink.write(b"two")
    sink.close()
    stream.seek(0)
    source = compression.reader(form, stream)
    assert source is not None
    assert source.read(100) == b"one two"
    assert (form is Compression.NONE) == (stream.getvalue() == b"one two")


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs the Python package zstandard"):
        compression.require(Compression.ZSTD)
    compression.require(Compression.GZIP)


def test_another_command_gets_zeeks_arguments_or_those_that_were_set() -> None:
    queue, logs = Path("/s/log queue"), Path("/l")
    assert command_line("zeek-archiver -v", queue, logs) == ("zeek-archiver", "-v", "-1", "/s/log queue", "/l")
    assert command_line("mine --to={logs} '{queue}/x y'", queue, logs) == ("mine", "--to=/l", "/s/log queue/x y")
    for wrong in ("'open", "  "):
        with pytest.raises(SettingsError):
            command_line(wrong, queue, logs)


@pytest.mark.parametrize(
    ("options", "directory"),
    [
        ({"common.spool_dir": "/var/spool/zeekfleet"}, "/var/log/zeekfleet"),
        ({"common.spool_dir": "/opt/zeek/spool"}, "/opt/zeek/logs"),
        ({"common.spool_dir": "/opt/zeek/spool", "archive.directory": "/srv/logs"}, "/srv/logs"),
    ],
)
def test_where_logs_go(options: dict[str, str], directory: str) -> None:
    resolved = resolve(("common", "agent", "supervisor", "archive"), options, environment={})
    assert resolved.settings.archive.directory == directory


@pytest.mark.parametrize(
    ("key", "value"),
    [("compression", "lzma"), ("expire_days", "-1"), ("disk_watermark", "100"), ("interval", "0"), ("enabled", "x")],
)
def test_settings_out_of_range_are_refused(key: str, value: str) -> None:
    with pytest.raises(SettingsError):
        resolve(("common", "archive"), {f"archive.{key}": value}, environment={})
