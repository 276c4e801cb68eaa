"""A file of lines on a disk that fails. The stem writes such files, and must outlive every failure."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zeekfleet.stem.records import Records
from zeekfleet.system.line_file import LineFile


def failing(number: int) -> Callable[..., int]:
    def fail(*_arguments: object, **_named: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def logged() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path, logged: list[str]) -> LineFile:
    file = LineFile(tmp_path / "lines", logged.append)
    assert file.append(b"one\n")
    return file


def test_a_replacement_that_fails_leaves_the_file_as_it_was(
    file: LineFile, tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", failing(errno.EIO))
    assert not file.replace([b"two\n"])
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]
    assert logged == [f"cannot write {tmp_path / 'lines'}: Input/output error"]
    assert file.append(b"three\n")
    assert (tmp_path / "lines").read_bytes() == b"one\nthree\n"


def test_a_disk_that_has_become_read_only_in_mid_replacement(
    file: LineFile, tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", failing(errno.EROFS))
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert not file.replace([b"two\n"])
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert logged == [f"cannot write {tmp_path / 'lines'}: Read-only file system"]
    assert (tmp_path / "lines").read_bytes() == b"one\n"


def test_a_file_that_cannot_be_removed_is_reported(
    file: LineFile, tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    file.remove()
    assert not file.is_open
    assert logged == [f"cannot remove {tmp_path / 'lines'}: Read-only file system"]


def test_a_torn_line_that_can_be_neither_ended_nor_removed_is_reported(
    tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntorn")
    monkeypatch.setattr(os, "write", failing(errno.EROFS))
    monkeypatch.setattr(os, "ftruncate", failing(errno.EROFS))
    assert [line for _, line in LineFile(path, logged.append).lines()] == [b"one", b"torn"]
    assert logged == [f"cannot write {path}: Read-only file system"]


def test_records_that_cannot_be_removed_do_not_keep_a_stem_from_its_end(
    tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records(tmp_path, logged.append)
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    records.clear()
    assert len(logged) == 3, logged
    assert all(line.startswith("cannot remove ") for line in logged)
