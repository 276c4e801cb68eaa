"""Working directories of nodes, as the Supervisor makes them."""

from __future__ import annotations

from pathlib import Path

from zeekfleet.model.launch_context import HostContext
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor.places import make_directory


def made(state: Path, config: NodeConfig) -> str:
    return make_directory(config, HostContext(state, state / "spool", False, {}).paths(config), state)


def test_a_symbolic_link_in_the_state_directory_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert made(state, NodeConfig(name="worker")) == ""
    directory = state / "nodes" / "logger"
    directory.symlink_to(tmp_path)
    problem = f"working directory {directory} is a symbolic link, expected a directory"
    assert made(state, NodeConfig(name="logger")) == problem
    assert made(state, NodeConfig(name="logger", directory=str(directory))) == problem


def test_elsewhere_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    assert made(tmp_path / "state", NodeConfig(name="logger", directory=str(tmp_path / "link"))) == ""
