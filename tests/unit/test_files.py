"""Files of our own are written completely or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zeekfleet.system import files
from zeekfleet.system.files import create_private, make_private_directory, write_private


def test_a_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"one", b"two"):
        write_private(file, content)
        assert file.read_bytes() == content
        assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("write", [write_private, create_private])
def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", refuse)
    (tmp_path / "former").write_bytes(b"former")
    for name in ("former", "new"):
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / name, b"content")  # type: ignore[operator]
    assert [path.name for path in tmp_path.iterdir()] == ["former"]
    assert (tmp_path / "former").read_bytes() == b"former"


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_file_that_is_there_is_not_created(tmp_path: Path, kind: str) -> None:
    file, target = tmp_path / "file", tmp_path / "target"
    if kind != "dangling link":
        target.write_bytes(b"precious")
    if kind == "file":
        target.rename(file)
    else:
        file.symlink_to(target)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FileExistsError):
        create_private(file, b"content")
    assert sorted(tmp_path.iterdir()) == before
    assert kind == "dangling link" or file.read_bytes() == b"precious"


def test_a_draft_that_somebody_left_is_not_written_to(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".file.new").symlink_to(victim)
    write_private(tmp_path / "file", b"content")
    assert (victim.read_bytes(), (tmp_path / "file").read_bytes()) == (b"precious", b"content")


def test_directories_are_for_us_alone(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    make_private_directory(directory)
    make_private_directory(directory)
    assert {path.stat().st_mode & 0o777 for path in (directory, directory.parent)} == {0o700}
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_private_directory(tmp_path / "file")
