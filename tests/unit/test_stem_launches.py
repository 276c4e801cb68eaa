"""The launch specs of nodes on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import launches
from zeekfleet.stem.launches import LAUNCHES_NAME, UNREADABLE_NAME, Launches
from zeekfleet.system import line_file, procfs


def spec(name: str, content: str = "content") -> LaunchSpec:
    return LaunchSpec(name, ("sleep",), {}, "/d", "/d/o", "/d/e", files={"file": content})


def bare(*names: str) -> list[LaunchSpec]:
    return [LaunchSpec(name, ("sleep",), {}, "/d", "/d/o", "/d/e") for name in names]


@pytest.fixture
def logged() -> list[str]:
    return []


@pytest.fixture
def kept(tmp_path: Path, logged: list[str]) -> Iterator[Launches]:
    found = Launches(tmp_path, logged.append)
    yield found
    found.close()


def loaded(directory: Path, logged: list[str], *gone: str) -> list[LaunchSpec]:
    again = Launches(directory, logged.append)
    return list(again.load(gone))


def test_all_launches_are_read_back(tmp_path: Path, kept: Launches, logged: list[str]) -> None:
    assert kept.put_away([spec("a", "one"), spec("b", "two")]) == bare("a", "b")
    assert [kept.files_of(node) for node in bare("a", "b")] == [{"file": "one"}, {"file": "two"}]
    assert kept.put_away([spec("a", "three")]) == bare("a")
    assert kept.files_of(bare("a")[0]) == {"file": "three"}
    again = Launches(tmp_path, logged.append)
    assert list(again.load(())) == bare("a", "b")
    assert [again.files_of(node) for node in bare("a", "b")] == [{"file": "three"}, {"file": "two"}]
    assert not logged


def test_the_journal_tells_which_nodes_are_gone_until_a_sweep_removes_them(
    tmp_path: Path, kept: Launches, logged: list[str]
) -> None:
    kept.put_away([spec("a"), spec("b")])
    kept.forget("a")
    assert set(kept.dead) == {"a"}
    assert loaded(tmp_path, logged) == bare("a", "b")
    assert loaded(tmp_path, logged, "a") == bare("b")
    kept.sweep()
    assert not kept.dead
    assert loaded(tmp_path, logged) == bare("b")
    kept.put_away([spec("a", "new")])
    assert loaded(tmp_path, logged) == bare("b", "a")
    assert kept.files_of(bare("a")[0]) == {"file": "new"}


def test_the_file_does_not_grow_for_ever(
    tmp_path: Path, kept: Launches, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launches, "_SLACK", 1000)
    kept.put_away([spec("stays", "x" * 100)])
    for _ in range(100):
        kept.put_away([spec("a", "y" * 100)])
        kept.forget("a")
        kept.sweep()
        assert (tmp_path / LAUNCHES_NAME).stat().st_size < 3000
    assert loaded(tmp_path, logged) == bare("stays")
    assert kept.files_of(bare("stays")[0]) == {"file": "x" * 100}
    kept.forget("stays")
    kept.sweep()
    assert (tmp_path / LAUNCHES_NAME).read_bytes() == b""


@given(cut=st.integers(1, 300))
def test_a_torn_line_damages_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    directory, logged = tmp_path_factory.mktemp("launches"), list[str]()
    Launches(directory, logged.append).put_away([spec("a"), spec("b", "b" * 300)])
    file = directory / LAUNCHES_NAME
    file.write_bytes(file.read_bytes()[:-cut])
    again = Launches(directory, logged.append)
    found = list(again.load(()))
    assert found[0] == bare("a")[0]
    again.put_away([spec("c")])
    assert loaded(directory, logged)[-1] == bare("c")[0]
    if cut > 1:
        assert len(found) == 1
        assert (directory / UNREADABLE_NAME).exists()


def test_a_full_disk_leaves_the_files_in_memory(
    tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Launches(tmp_path, logged.append)
    monkeypatch.setattr(line_file.os, "write", Mock(side_effect=OSError(ENOSPC, os.strerror(ENOSPC))))
    assert full.put_away([spec("a")]) == [spec("a")]
    assert full.files_of(spec("a")) == {"file": "content"}
    assert "cannot write" in logged[0]


def test_files_that_cannot_be_read_are_reported(tmp_path: Path, kept: Launches) -> None:
    kept.put_away([spec("a")])
    os.truncate(tmp_path / LAUNCHES_NAME, 10)
    with pytest.raises(LaunchError, match="its files cannot be read"):
        kept.files_of(bare("a")[0])


def test_lines_of_another_version_are_set_aside(tmp_path: Path, kept: Launches, logged: list[str]) -> None:
    kept.put_away([spec("a")])
    file = tmp_path / LAUNCHES_NAME
    newer = msgspec.json.encode(launches.LaunchRecord(launches.VERSION_WITH_USER + 1, spec("b")))
    file.write_bytes(file.read_bytes() + newer + b"\n")
    assert loaded(tmp_path, logged) == bare("a")
    assert (tmp_path / UNREADABLE_NAME).read_bytes() == newer + b"\n"


@given(moment=st.integers(0, 10**18), length=st.integers(0, 30 * 10**6))
def test_a_start_time_is_given_only_if_it_is_certain(moment: int, length: int) -> None:
    tick = 10**9 // os.sysconf("SC_CLK_TCK")
    told = procfs.start_time_between(moment, moment + length)
    if told is not None:
        assert told == moment // tick == (moment + length) // tick
    else:
        assert (
            moment // tick != (moment + length) // tick or min(moment % tick, tick - (moment + length) % tick) <= 1000
        )
