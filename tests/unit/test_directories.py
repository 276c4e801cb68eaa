"""State directories: made for us alone, and refused if they are not ours alone to write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zeekfleet.daemon.directories import LOCK, held, prepare
from zeekfleet.errors import StateDirectoryError


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_missing_directories_are_created_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with held(state / "nodes" / "c", state) as directory:
        assert [mode(path) for path in (directory, directory.parent, state)] == [0o700] * 3


def test_existing_directories_stay_as_they_are(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)
    before = mode(state)
    prepare(state / "nodes" / "c", state)
    assert mode(state) == before
    assert mode(state / "nodes") == 0o700


def test_a_directory_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError, match="file"):
        prepare(tmp_path / "file" / "nodes" / "c", tmp_path / "file")


@pytest.mark.parametrize("open_mode", [0o770, 0o702, 0o1777])
@pytest.mark.parametrize("place", ["", "nodes", "nodes/c"])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, place: str, open_mode: int) -> None:
    state = tmp_path / "a state"
    prepare(state / "nodes" / "c", state)
    (state / place).chmod(open_mode)
    with pytest.raises(StateDirectoryError) as caught:
        prepare(state / "nodes" / "c", state)
    directory = state / place
    assert str(caught.value) == (
        f"directory {directory} cannot be used: it can be written by other users: run 'chmod go-w '{directory}''"
    )


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, own = tmp_path.stat().st_uid, os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: own + 1)
    if owner == 0:
        monkeypatch.setattr("os.geteuid", lambda: own)
        os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StateDirectoryError, match=rf"it belongs to user .*run 'chown \d+ {tmp_path}'"):
        prepare(tmp_path)


@pytest.mark.parametrize("place", ["nodes", "nodes/c"])
def test_a_symbolic_link_in_a_state_directory_is_not_followed(tmp_path: Path, place: str) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    (elsewhere / "c").mkdir(parents=True)
    link = state / place
    link.parent.mkdir(parents=True, mode=0o700)
    link.symlink_to(elsewhere if place == "nodes" else elsewhere / "c")
    with pytest.raises(StateDirectoryError, match=f"^directory {link} cannot be used: it is a symbolic link"):
        prepare(state / "nodes" / "c", state)


def test_a_state_directory_may_be_reached_by_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    with held(tmp_path / "state" / "nodes" / "c", tmp_path / "state"):
        assert (tmp_path / "disk" / "nodes" / "c" / LOCK).is_file()


def test_a_lock_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / LOCK).symlink_to(precious)
    with pytest.raises(StateDirectoryError, match=f"{LOCK}: it is a symbolic link"), held(state):
        pass
    assert precious.read_text() == "content"
