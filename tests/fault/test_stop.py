"""``zeekfleet stop`` ends everything, whoever is left to end it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from trees import INSTANCE, Tree, cluster, node, zeekfleet

from support.daemons import processes_mentioning, wait_for_end_of
from zeekfleet.daemon.directories import LOCK, held


def deployed(tree: Tree) -> dict[str, int]:
    with tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        return tree.deployed(link, cluster(node("w1"), node("w2")))


def test_a_tree_that_would_leave_its_nodes_running(tmp_path: Path) -> None:
    with Tree(tmp_path, "--on-exit", "keep") as tree:
        pids = deployed(tree)
        code, out, err = zeekfleet("stop", "--state-dir", str(tree.state))
        assert code == 0, err
        assert f"daemon {tree.daemon.pid}" in out
        assert tree.daemon.wait() == 0
        assert all(name in out for name in pids)
        assert processes_mentioning(f"{tree.state}/") == {}
    code, out, err = zeekfleet("stop", "--state-dir", str(tree.state))
    assert (code, out) == (0, f"nothing runs in {tree.state}\n"), err


def test_nodes_that_have_outlived_supervisor_and_stem(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree:
        pids = deployed(tree)
        stem = tree.stem
        tree.daemon.kill()
        stem.kill()
        assert wait_for_end_of(stem.pid)
        code, out, err = zeekfleet("stop", "--state-dir", str(tree.state))
        assert code == 0, err
        assert all(name in out for name in (*pids, INSTANCE, "controller"))
        assert processes_mentioning(f"{tree.state}/") == {}


def test_a_controller_that_runs_by_itself(tmp_path: Path) -> None:
    with Tree(tmp_path, apart=True) as tree:
        pids = deployed(tree)
        code, out, err = zeekfleet("stop", "--state-dir", str(tmp_path / "controller"))
        assert code == 0, err
        assert out.startswith("stopped: daemon ")
        assert all(wait_for_end_of(pid, 0) is False for pid in pids.values())


def test_a_place_where_nothing_has_run(tmp_path: Path) -> None:
    code, out, err = zeekfleet("stop", "--state-dir", str(tmp_path / "nowhere"))
    assert (code, out) == (1, "")
    assert (
        err
        == f"error: common.state_dir: there is no directory {tmp_path}/nowhere: nothing of zeekfleet has run there\n"
    )
    assert not (tmp_path / "nowhere").exists()


def test_a_daemon_in_another_container_is_not_taken_for_a_process_here(tmp_path: Path) -> None:
    """They share the directory, and so its lock; the process id in it means somebody else here."""
    with held(tmp_path) as state, subprocess.Popen(("sleep", "600")) as somebody:
        try:
            (state / LOCK).write_text(f"{somebody.pid}\n")
            code, out, err = zeekfleet("stop", "--state-dir", str(state))
            assert (code, out) == (1, "")
            assert "is held by a daemon that is not visible from here" in err
            assert somebody.poll() is None
        finally:
            somebody.kill()
