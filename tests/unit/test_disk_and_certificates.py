"""How a full disk and an invalid certificate are noticed."""

from __future__ import annotations

import errno
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from zeekfleet.daemon import disk, tls
from zeekfleet.daemon.checking import RoomChecker
from zeekfleet.daemon.disk import DiskWatch, lack_of_room
from zeekfleet.daemon.tls import CertificateWatch
from zeekfleet.planning.checks import Problem
from zeekfleet.security.certificates import Validity, validity
from zeekfleet.store.disk_space import try_allocation

DAY = 86400.0
MEGABYTE = 2**20


def filesystem(free: int, blocks: int = 10**6, files: int = 100) -> SimpleNamespace:
    """The figures of a file system with blocks of 4 KiB, of which ``free`` bytes are free."""
    count = free // 4096
    numbers = {"f_blocks": blocks, "f_bfree": count, "f_bavail": count, "f_frsize": 4096}
    return SimpleNamespace(**numbers, f_files=1000, f_ffree=files, f_favail=files)


def look(monkeypatch: pytest.MonkeyPatch, result: SimpleNamespace | OSError) -> None:
    def statvfs(_: Path) -> SimpleNamespace:
        if isinstance(result, OSError):
            raise result
        return result

    monkeypatch.setattr(disk.os, "statvfs", statvfs)


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (filesystem(100 * MEGABYTE), None),
        (filesystem(15 * MEGABYTE), "no space left in directory /d: 15728640 bytes are free"),
        (filesystem(0, blocks=0), None),  # a file system that does not tell
        (filesystem(2 * MEGABYTE, blocks=25_000), None),  # small, and two percent are free
        (filesystem(100 * MEGABYTE, files=0), "no space left in directory /d: its disk can hold no more files"),
        (OSError(errno.ENOENT, "No such file or directory"), "directory /d cannot be used: No such file or directory"),
    ],
)
def test_lack_of_room(monkeypatch: pytest.MonkeyPatch, result: SimpleNamespace | OSError, sentence: str | None) -> None:
    look(monkeypatch, result)
    assert lack_of_room(Path("/d")) == sentence


def test_low_space_and_its_end_are_each_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    watch = DiskWatch([Path("/d"), Path("/d")], lambda text: told.append(f"alarm: {text}"), told.append)
    # Twenty are enough, but not to call the alarm off.
    for free in (100, 20, 1, 1, 20, 40, 20):
        look(monkeypatch, filesystem(free * MEGABYTE))
        watch._tell(watch._check())
    assert told == [
        "alarm: no space left in directory /d: 1048576 bytes are free",
        "there is room in directory /d again",
    ]


def test_a_trial_allocation_leaves_no_file(tmp_path: Path) -> None:
    try_allocation(tmp_path, MEGABYTE)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        try_allocation(tmp_path / "absent", 1)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "no space left in directory {}"),
        (errno.EDQUOT, "no space left in directory {}"),
        (errno.EROFS, "directory {} cannot be written: Read-only file system"),
        (errno.EOPNOTSUPP, None),  # the file system cannot allocate, so the result is unknown
    ],
)
async def test_nodes_are_not_checked_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str | None
) -> None:
    class Checker:
        async def check(self, *_: object) -> list[Problem]:
            return [Problem(("a",), "asked")]

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    place = tmp_path / "made"
    checker = RoomChecker(Checker(), [place, place])  # type: ignore[arg-type]
    expected = Problem(("a",), "asked") if sentence is None else Problem((), sentence.format(place))
    assert await checker.check([], [], frozenset()) == [expected]
    assert place.stat().st_mode & 0o777 == 0o700


def test_validity() -> None:
    begin, end = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 2, 1, tzinfo=UTC)
    issued = trustme.CA().issue_cert("a", not_before=begin, not_after=end)
    found = validity(issued.cert_chain_pems[0].bytes(), "certificate x")
    assert found == Validity("certificate x", begin.timestamp(), end.timestamp())
    assert found.problem(end.timestamp()) is None
    assert found.problem(end.timestamp() + 1) == "certificate x has expired on 2030-02-01 00:00:00 UTC"
    early = (begin - timedelta(hours=1)).timestamp()
    assert found.problem(early) == (
        "certificate x is not valid before 2030-01-01 00:00:00 UTC, and it is 2029-12-31 23:00:00 UTC here"
    )
    with pytest.raises(ValueError, match="PEM"):
        validity(b"nothing", "x")


def test_each_problem_of_a_certificate_is_reported_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(tls.time, "time", lambda: now)
    watch = CertificateWatch(Validity("certificate x", 100 * DAY, 200 * DAY))
    with caplog.at_level(logging.INFO):
        for day in (99, 99.5, 100, 185, 187, 190, 201, 202, 150, 203):
            now = day * DAY
            watch.check()
    assert [(record.levelname, record.message.split(",")[0].split(":")[0][:40]) for record in caplog.records] == [
        ("ERROR", "certificate x is not valid before 1970-0"),
        ("WARNING", "certificate x expires on 1970-07-20 00"),
        ("ERROR", "certificate x has expired on 1970-07-20 "),
        ("ERROR", "certificate x has expired on 1970-07-20 "),
    ]
