from __future__ import annotations

from pathlib import Path

import pytest

from zeekfleet.daemon.directories import held, prepare
from zeekfleet.errors import StateDirectoryError


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_missing_directories_are_created_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with held(state / "nodes" / "c", state) as directory:
        assert [mode(path) for path in (directory, directory.parent, state)] == [0o700] * 3


def test_existing_directories_stay_as_they_are(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    before = mode(state)
    prepare(state / "nodes" / "c", state)
    assert mode(state) == before
    assert mode(state / "nodes") == 0o700


def test_a_directory_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError, match="file"):
        prepare(tmp_path / "file" / "nodes" / "c", tmp_path / "file")
