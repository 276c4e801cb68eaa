"""Files and directories that other users could read or change are found, with the command that mends it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from zeekfleet.system import exposure
from zeekfleet.system.exposure import directory_problem, private_directory_problem, private_file_problem

NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    directory = tmp_path / "keys of ours"
    directory.mkdir(mode=0o700)
    file = directory / "a.key"
    file.touch(mode=0o600)
    return file


def mend(problem: str | None) -> None:
    """Run the command that a sentence names."""
    assert problem is not None
    subprocess.run(["sh", "-c", problem.split("run '", 1)[1].removesuffix("'")], check=True, timeout=30)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o611])
def test_a_file_of_ours(key: Path, mode: int) -> None:
    key.chmod(mode)
    assert private_file_problem(key) is None


@pytest.mark.parametrize(
    ("mode", "what"), [(0o640, "read"), (0o604, "read"), (0o620, "written"), (0o602, "written"), (0o666, "written")]
)
def test_a_file_that_others_can_use(key: Path, mode: int, what: str) -> None:
    key.chmod(mode)
    problem = private_file_problem(key)
    assert problem is not None
    assert problem.startswith(f"{key} can be {what} by other users: run 'chmod 600 ")
    mend(problem)
    assert private_file_problem(key) is None


@pytest.mark.parametrize(("mode", "is_open"), [(0o755, False), (0o770, True), (0o777, True), (0o1777, False)])
def test_a_directory_in_which_others_could_replace_a_file(key: Path, mode: int, is_open: bool) -> None:
    key.parent.chmod(mode)
    problem = private_file_problem(key)
    assert problem == directory_problem(key.parent)
    assert (problem is not None) == is_open
    if is_open:
        mend(problem)
        assert private_file_problem(key) is None


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o720, 0o1777])
def test_a_directory_that_must_be_ours_alone(key: Path, mode: int) -> None:
    assert private_directory_problem(key.parent) is None
    key.parent.chmod(mode)
    mend(private_directory_problem(key.parent))
    assert private_directory_problem(key.parent) is None


@as_root
def test_what_belongs_to_somebody_else(key: Path, tmp_path: Path) -> None:
    os.chown(key, NOBODY, -1)
    problem = private_file_problem(key)
    assert problem is not None
    assert f"{key} belongs to user nobody ({NOBODY}), and this process to root (0): run it as the same" in problem
    os.chown(key, 0, -1)
    os.chown(key.parent, NOBODY, -1)
    assert f"{key.parent} belongs to user nobody" in str(private_file_problem(key))
    assert f"{key.parent} belongs to user nobody" in str(private_directory_problem(key.parent))


def test_what_belongs_to_root_is_as_good(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = key.stat().st_uid
    monkeypatch.setattr(exposure.os, "geteuid", lambda: owner + 1)
    assert (private_file_problem(key) is None) == (owner == 0)


def test_what_a_link_leads_to_counts(key: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(key)
    assert private_file_problem(link) is None
    key.chmod(0o644)
    problem = private_file_problem(link)
    assert problem is not None
    assert problem.startswith(f"{link} can be read")
    mend(problem)
    assert private_file_problem(link) is None


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        private_file_problem(tmp_path / "absent")
