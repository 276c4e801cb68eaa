"""No descriptors and no processes left, CPUs and ports that are not to be had: in a whole tree."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from trees import INSTANCE, Tree, cluster, node

from support.daemons import DaemonEndedError
from support.ports import free_ports
from support.waiting import until
from zeekfleet.errors import TransportError
from zeekfleet.model.enums import Role, State
from zeekfleet.model.types import Port

PIDS = Path("/sys/fs/cgroup/pids")


@contextlib.contextmanager
def no_more_descriptors(pid: int) -> Iterator[None]:
    """A process keeps those that it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    first_free = min(set(range(len(used) + 1)) - used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def no_more_processes(pid: int) -> Iterator[None]:
    """A process, and what it starts, may start nothing more (EAGAIN)."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    parent = Path("/sys/fs/cgroup") if unified.exists() else PIDS
    group = parent / f"zeekfleet-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "pids.max").read_text()
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no group of processes can be limited here: {error}")
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "pids.max").write_text("1")
        yield
    finally:
        (group / "pids.max").write_text("max")
        for line in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (parent / "cgroup.procs").write_text(line)
        group.rmdir()


def retried(tree: Tree, name: str, words: str, times: int) -> None:
    """Wait until a start has failed that often for want of something."""
    line = f"node '{name}' could not be started: "
    until(lambda: sum(line in each and words in each for each in tree.daemon.stderr.splitlines()) >= times, words)


@pytest.mark.parametrize("what", ["descriptors", pytest.param("processes", marks=pytest.mark.long)])
def test_a_stem_that_cannot_start_anything_for_a_while(tmp_path: Path, what: str) -> None:
    with Tree(tmp_path, "--revival-loop-limit", "2") as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, cluster(node("w1"), node("w2")))
        stem = tree.stem.pid
        roles = {role: tree.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)}
        agent = roles[Role.AGENT]
        shortage = no_more_descriptors(stem) if what == "descriptors" else no_more_processes(stem)
        words = "Too many open files" if what == "descriptors" else "Resource temporarily unavailable"
        with shortage:
            # The agent is a process of its own, not forked by a server that is there already.
            os.kill(agent, signal.SIGKILL)
            began = time.monotonic()
            retried(tree, INSTANCE, words, 5)
            took = time.monotonic() - began
            # Five tries at once would be none with a growing pause: 0.1, 0.2, 0.4, 0.8 s lie between them.
            assert took > 1.2
            # The connections of those that are there live on, and answer.
            assert tree.configuration(link) is not None
            assert tree.supervisor_answers()
            assert all(psutil.pid_exists(pid) for pid in (*pids.values(), stem, roles[Role.CONTROLLER]))
        found = tree.when(link, lambda now: INSTANCE in now and now[INSTANCE].pid != agent)
        assert found[INSTANCE].pid
        assert tree.running(link, *pids) == pids
        assert tree.stem.pid == stem
        assert "keeps failing" not in tree.daemon.stderr
        os.kill(pids["w1"], signal.SIGKILL)
        tree.when(link, lambda now: now["w1"].state is State.RUNNING and now["w1"].pid not in (None, pids["w1"]))


def strangers(port: int, count: int) -> list[socket.socket]:
    """Connections that say nothing."""
    made = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            made.append(socket.create_connection(("127.0.0.1", port), timeout=1))
    return made


PORTS = {
    Role.CONTROLLER: r"clients 127\.0\.0\.1:(\d+)",
    Role.AGENT: rf"agent {INSTANCE} 127\.0\.0\.1:(\d+)",
    Role.NONE: r"supervisor 127\.0\.0\.1:(\d+)",
}


@pytest.mark.parametrize(
    "role",
    [
        pytest.param(Role.CONTROLLER, id="controller", marks=pytest.mark.long),
        pytest.param(Role.AGENT, id="agent", marks=pytest.mark.long),
        pytest.param(Role.NONE, id="supervisor"),
    ],
)
def test_a_daemon_without_descriptors_keeps_its_connections(tmp_path: Path, role: Role) -> None:
    with Tree(tmp_path) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, cluster(node("w1")))
        pid = tree.daemon.pid if role is Role.NONE else tree.pid_of_role(link, role)
        found = re.search(PORTS[role], tree.daemon.ready())
        assert found is not None
        crowd: list[socket.socket] = []

        def log() -> str:
            name = {Role.CONTROLLER: "controller", Role.AGENT: INSTANCE}.get(role)
            return tree.daemon.stderr if name is None else (tree.state / "nodes" / name / "stderr").read_text()

        try:
            with no_more_descriptors(pid):
                crowd = strangers(int(found[1]), 30)
                for _ in range(3):
                    assert tree.running(link, *pids) == pids
                until(lambda: "no further connections are accepted" in log(), "the shortage is told")
                used = psutil.Process(pid).cpu_times()
                time.sleep(2)  # what is measured is this time: a process that cannot accept must not spin
                now = psutil.Process(pid).cpu_times()
                assert now.user + now.system - used.user - used.system < 1
                assert tree.running(link, *pids) == pids
                assert log().count("no further connections are accepted") == 1
        finally:
            for one in crowd:
                one.close()
        assert "Traceback" not in log()
        if role is Role.NONE:
            assert tree.daemon.pid == pid
        else:
            assert tree.pid_of_role(link, role) == pid
        with tree.link() as another:
            assert {*tree.deployed(another, cluster(node("w1"), node("w2")))} == {"manager", "w1", "w2"}


def test_idle_connections_leave_descriptors_for_what_a_supervisor_has_to_do(tmp_path: Path) -> None:
    """With a limit of 96, a crowd that would fill them all gets what is not kept for nodes, reports and files."""
    limited = ("prlimit", "--nofile=96:96", sys.executable, "-m", "zeekfleet")
    with Tree(tmp_path, command=limited) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        found = re.search(PORTS[Role.NONE], tree.daemon.ready())
        assert found is not None
        crowd = strangers(int(found[1]), 150)
        try:
            until(lambda: "no further connections are accepted" in tree.daemon.stderr, "the shortage is told")
            assert len(list(Path(f"/proc/{tree.daemon.pid}/fd").iterdir())) <= 80
            assert {*tree.deployed(link, cluster(node("w1"), node("w2")))} == {"manager", "w1", "w2"}
        finally:
            for one in crowd:
                one.close()
        assert tree.daemon.stderr.count("no further connections are accepted") == 1
        assert "Traceback" not in tree.daemon.stderr


# --- CPUs and ports


def absent_cpu() -> int:
    return max(os.sched_getaffinity(0)) + 3000


def test_a_cpu_that_is_not_there_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        good = cluster(node("w1"), node("w2"))
        pids = tree.deployed(link, good)
        deployed = tree.configuration(link)
        cpu = absent_cpu()
        bad = cluster(node("w1"), msgspec.structs.replace(node("w2"), cpu_affinity=cpu))
        results = tree.deploy(link, bad)
        assert [result.success for result in results] == [False]
        assert results[0].error == f"node 'w2': CPU {cpu} to pin to is offline or absent"
        assert tree.running(link, *pids) == pids
        assert tree.configuration(link) == deployed


def test_a_port_in_use_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree, tree.link() as link, socket.create_server(("127.0.0.1", 0)) as holder:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, cluster(node("w1")))
        port = holder.getsockname()[1]
        bad = cluster(msgspec.structs.replace(node("w1"), metrics_port=Port(port, "tcp")))
        results = tree.deploy(link, bad)
        assert [result.success for result in results] == [False]
        sentence = results[0].error or ""
        assert sentence.startswith(f"node 'w1': metrics port {port}/tcp is in use by process {os.getpid()} (")
        assert tree.running(link, *pids) == pids


def test_a_port_that_somebody_takes_from_a_node_is_named_and_waited_for(tmp_path: Path) -> None:
    """Where no check comes first: the node itself says so, and is tried again with a growing pause."""
    options = ("--check-before-deploy", "no", "--revival-initial-delay", "0.2", "--revival-loop-limit", "1000")
    (port,) = free_ports(1)
    with Tree(tmp_path, *options) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        with_port = cluster(msgspec.structs.replace(node("w1"), metrics_port=Port(port, "tcp")), node("w2"))
        with socket.create_server(("127.0.0.1", port)):
            results = tree.deploy(link, with_port)
            failed = [result for result in results if not result.success]
            assert [result.node for result in failed] == ["w1"]
            pids = tree.running(link, "manager", "w2")
            errors = tree.state / "nodes" / "w1" / "stderr"
            until(lambda: errors.read_text().count(f":{port}") >= 4, "it has been tried four times")
            lines = [line for line in errors.read_text().splitlines() if str(port) in line]
            assert "in use" in lines[0]
            reports = sorted((tree.state / "crashes" / "w1").glob("2*/report.json"))
            ends = [json.loads(path.read_bytes()) for path in reports]
            pauses = [end["revive_in"] for end in sorted(ends, key=lambda end: end["restarts"])][:3]
            assert pauses[0] == 0
            assert 0.15 < pauses[1] < 0.25 < pauses[2]
            assert tree.running(link, "manager", "w2") == pids
        # Free again, it is had without anybody's doing.
        assert tree.running(link, "w1")
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))


def test_a_tree_whose_port_is_taken_names_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    sentence = f"error: cannot listen on .*:{tree.clients}: .*in use"
    with (
        socket.create_server(("127.0.0.1", tree.clients)),
        pytest.raises(DaemonEndedError, match=sentence),
        tree,
    ):
        raise TransportError("it serves")
    with tree.again() as second, second.link() as link:
        second.when(link, lambda found: INSTANCE in found)
