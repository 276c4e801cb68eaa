"""What crashes of our own leaves no core, which would hold keys and passwords; nodes leave theirs as before."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from trees import Tree, cluster, node

from support.daemons import wait_for_end_of
from support.other_user import NOBODY, as_user, within_reach
from support.waiting import until
from zeekfleet.model.enums import Role

PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()

pytestmark = [
    pytest.mark.skipif(PATTERN.startswith("|") or "/" in PATTERN, reason="cores do not go to the working directory"),
    pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="no process here may leave a core"),
]
WITH_CORES = ("sh", "-c", 'ulimit -c "$(ulimit -H -c)" && exec "$@"', "sh")


@pytest.fixture(params=["as we are", "as another user"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A directory that the user owns, and how to run a program as this user."""
    prefix: tuple[str, ...] = ()
    directory = Path(tempfile.mkdtemp(prefix="zeekfleet-"))
    if request.param == "as another user":
        if within_reach() is None:
            pytest.skip("no other user can run our interpreter")
        prefix = as_user(NOBODY)
        os.chown(directory, NOBODY, NOBODY)
    yield directory, prefix
    shutil.rmtree(directory)


def cores_below(directory: Path) -> list[str]:
    return [
        str(file.relative_to(directory)) for file in directory.rglob(f"{PATTERN.partition('%')[0]}*") if file.is_file()
    ]


def dumped(tree: Tree, name: str) -> bool:
    """Whether a process that crashed left a core, as its parent, the stem, heard from the kernel."""
    home = tree.state / "crashes" / name
    until(lambda: any(home.glob("2*")), f"a crash report of {name}")
    return bool(json.loads((next(home.glob("2*")) / "report.json").read_bytes())["core_dumped"])


def test_only_nodes_leave_cores(place: tuple[Path, tuple[str, ...]]) -> None:
    directory, prefix = place
    tree = Tree(directory, command=(*WITH_CORES, *prefix, sys.executable, "-m", "zeekfleet"))
    with tree:
        with tree.link() as link:
            before = tree.deployed(link, cluster(node("worker")))
            ours = {role: tree.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)}
        os.kill(before["manager"], signal.SIGSEGV)
        assert dumped(tree, "manager")
        left = cores_below(directory)
        assert len(left) == 1
        for role, name in ((Role.AGENT, "here"), (Role.CONTROLLER, "controller")):
            os.kill(ours[role], signal.SIGSEGV)
            assert not dumped(tree, name)
        stem = tree.stem.pid
        os.kill(stem, signal.SIGSEGV)
        assert wait_for_end_of(stem)
        with tree.link() as link:
            assert tree.running(link, "worker", "manager")["worker"] == before["worker"]
        os.kill(tree.daemon.pid, signal.SIGSEGV)
        assert tree.daemon.wait() == -signal.SIGSEGV
        assert cores_below(directory) == left
        assert not Path("/", PATTERN).exists()
        assert "manager" in stop(tree, prefix)
    assert wait_for_end_of(before["worker"])


def test_our_processes_still_find_each_other(place: tuple[Path, tuple[str, ...]]) -> None:
    """Without the journal, a stem knows processes by their environments only; ``stop`` looks at what they have open."""
    directory, prefix = place
    tree = Tree(directory, command=(*prefix, sys.executable, "-m", "zeekfleet"))
    with tree:
        with tree.link() as link:
            before = tree.deployed(link, cluster(node("worker")))
            ours = {role: tree.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)}
        (tree.state / "stem" / "processes").unlink()
        stem = tree.stem.pid
        os.kill(stem, signal.SIGKILL)
        assert wait_for_end_of(stem)
        with tree.link() as link:
            everybody = ("here", "controller", *before)
            found = [f"node '{name}' found running" for name in everybody]
            until(lambda: all(line in tree.log_of("stem") for line in found), "all found by a new stem")
            assert tree.running(link, "worker", "manager") == before
            assert {role: tree.pid_of_role(link, role) for role in ours} == ours
        assert f"daemon {tree.daemon.pid}" in stop(tree, prefix)


def stop(tree: Tree, prefix: tuple[str, ...]) -> str:
    """Run ``zeekfleet stop`` as the same user, which must work; what it stopped."""
    words = [*prefix, sys.executable, "-m", "zeekfleet", "stop", "--state-dir", str(tree.state)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
