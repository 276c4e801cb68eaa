"""Under which names the daemons of a state directory serve."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from zeekfleet.daemon import names
from zeekfleet.errors import SettingsError
from zeekfleet.model.enums import Role
from zeekfleet.resolution import Resolved, resolve

BOTH = (Role.CONTROLLER, Role.AGENT)
SECTIONS = ("common", "controller", "agent", "supervisor")


def resolved(state: Path, **given: str) -> Resolved:
    options = {key.replace("_", "."): value for key, value in given.items()}
    return resolve(SECTIONS, {"common.state_dir": str(state), **options}, {})


def settled(state: Path, **given: str) -> tuple[str, str]:
    settings = names.settled(resolved(state, **given), BOTH)
    return settings.controller.name, settings.agent.name


def worked(state: Path, role: Role, name: str) -> None:
    """Make the directory of a role as a former release left it, which kept no names."""
    directory = state / "nodes" / name
    directory.mkdir(parents=True)
    if role is Role.CONTROLLER:
        (directory / "controller.sqlite").touch()
    else:
        (directory / "settings.json").write_bytes(msgspec.json.encode({"role": role.name}))


def test_the_first_names_are_kept(tmp_path: Path) -> None:
    names.keep(tmp_path, Role.CONTROLLER, "c1")
    names.keep(tmp_path, Role.AGENT, "a1")
    names.keep(tmp_path, Role.AGENT, "a2")
    assert settled(tmp_path) == ("c1", "a1")
    assert settled(tmp_path, agent_name="a1") == ("c1", "a1")
    with pytest.raises(SettingsError, match=r"'c2' is not the name that the controller has in state directory .* 'c1'"):
        settled(tmp_path, controller_name="c2")


def test_without_a_file_the_directories_give_the_names(tmp_path: Path) -> None:
    worked(tmp_path, Role.CONTROLLER, "c1")
    worked(tmp_path, Role.AGENT, "a1")
    (tmp_path / names.FILE).write_text("{")
    assert settled(tmp_path) == ("c1", "a1")


def test_of_several_directories_the_one_with_the_present_name_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a1", "a2"):
        worked(tmp_path, Role.AGENT, name)
    with pytest.raises(SettingsError, match="'a1', 'a2'"):
        settled(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert settled(tmp_path, agent_name="a2")[1] == "a2"
    assert "also has the state of another agent: 'a1'" in caplog.text


def test_an_empty_directory_takes_any_name(tmp_path: Path) -> None:
    assert settled(tmp_path, agent_name="a", controller_name="c") == ("c", "a")
    assert settled(tmp_path)[1].startswith("agent-")
