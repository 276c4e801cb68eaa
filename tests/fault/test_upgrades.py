"""A tree is started again by another zeekfleet: its own processes are replaced, its nodes run on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

from trees import INSTANCE, Tree, cluster, node

from support.waiting import until
from zeekfleet import release
from zeekfleet.model.enums import Role, State


def other_installation(directory: Path) -> dict[str, str]:
    """A copy of the package, which stands for another release; the environment that has it used."""
    shutil.copytree(release.PACKAGE, directory / "zeekfleet", ignore=shutil.ignore_patterns("__pycache__"))
    return {"PYTHONPATH": str(directory)}


def installation_of(pid: int) -> str:
    """Where the package lies that a process was told to use first."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((os.fsdecode(one[11:]) for one in variables if one.startswith(b"PYTHONPATH=")), "")


def test_an_upgrade_replaces_stem_agent_and_controller_and_no_node(tmp_path: Path) -> None:
    with Tree(tmp_path / "tree") as tree:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            pids = tree.deployed(link, cluster(node("w1"), node("w2")))
            former = {tree.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)} | {tree.stem.pid}
        tree.daemon.kill()
        other = other_installation(tmp_path / "other")
        with tree.again(other) as second, second.link() as link:
            assert second.running(link, *pids) == pids
            present = {second.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)} | {second.stem.pid}
            assert not present & former
            assert {installation_of(pid) for pid in present} == {other["PYTHONPATH"]}
            code, out, err = second.command("version", "--all", "--json")
            assert code == 0, err
            told = json.loads(out)
            parts = {**told["parts"][""], **told["parts"][INSTANCE]}
            assert {part["pid"] for part in parts.values()} == present | {second.daemon.pid}
            assert {part["place"] for part in parts.values()} == {other["PYTHONPATH"]}
            assert told["nodes"] == dict.fromkeys(pids, "simulated by zeekfleet 0.1.0")
            stem = second.stem
            second.daemon.kill()
        # The same release once more: nothing is replaced.
        with second.again(other) as third, third.link() as link:
            assert third.running(link, *pids) == pids
            assert {third.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)} <= present
            assert stem.is_running()


def test_a_stem_that_starts_after_an_upgrade_on_disk_is_used_by_a_supervisor_of_before(tmp_path: Path) -> None:
    mine = other_installation(tmp_path / "mine")
    with Tree(tmp_path / "tree", environment=mine) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, cluster(node("w1")))
        with (tmp_path / "mine" / "zeekfleet" / "__init__.py").open("a") as file:
            file.write("\n")
        tree.stem.kill()
        until(lambda: "connection to the stem lost" in tree.daemon.stderr, "the supervisor has noticed")
        os.kill(pids["w1"], signal.SIGKILL)
        again = tree.when(link, lambda found: found["w1"].state is State.RUNNING and found["w1"].pid != pids["w1"])
        assert again["manager"].pid == pids["manager"]
        assert tree.daemon.stderr.count("connection to the stem lost") == 1
