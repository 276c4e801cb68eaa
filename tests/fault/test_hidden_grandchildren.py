"""Daemons of a node's that have shed session, parents, environment, directory and files: none survives its end.

Without a control group, that is. Their limits alone still tell where they come from.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest
from stems import DEADLINE, Commander, spec, stem

from support.daemons import Daemon, wait_for_end_of
from support.waiting import until
from zeekfleet.model.launch import LaunchSpec, Resources
from zeekfleet.stem import protocol
from zeekfleet.system import procfs, rlimit_tag

LIMIT_OF_TAGS = 10

HIDER = """
import os, resource, sys, time
file, ties, ending = sys.argv[1:]
def hide():
    os.setsid()
    if ties == "none" and os.fork():
        os._exit(0)
    if ties == "parent alone":
        resource.setrlimit(10, (resource.getrlimit(10)[1],) * 2)
    pids = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    os.write(pids, b"%d\\n" % os.getpid())
    os.chdir("/")
    os.closerange(0, pids + 1)
    os.execve("/bin/sleep", ["sleep", "1003"], {})
while resource.getrlimit(10)[0] == resource.RLIM_INFINITY:
    time.sleep(0.001)  # the stem tags a process that has just begun; a faster one has no tag to hand on
child = os.fork()
if child == 0:
    hide()
if ties == "none":
    os.waitpid(child, 0)
if ending == "ignored":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(file + ".deaf", "w").close()
time.sleep(1000)
"""


def hider(state: Path, name: str, ties: str = "none", ending: str = "at once") -> LaunchSpec:
    """A node with a hidden daemon, whose process id goes to a file elsewhere.

    Args:
        state: of the stem.
        name: of the node.
        ties: ``none``, or ``parent alone``: it stays the node's child, but takes the tag off.
        ending: ``at once``, or SIGTERM is ``ignored``.
    """
    argv = (sys.executable, "-S", "-c", HIDER, str(state / f"{name}.pids"), ties, ending)
    return msgspec.structs.replace(spec(state, name, *argv), grace=0.5 if ending == "ignored" else 20.0)


def hidden(state: Path, name: str, number: int = 1) -> int:
    """The daemon of a node's so manieth process; it is there, and has shed all."""
    file = state / f"{name}.pids"
    pids: list[int] = []

    def is_there() -> bool:
        pids[:] = map(int, file.read_text().split()) if file.exists() else []
        return len(pids) == number and procfs.read(f"/proc/{pids[-1]}/cmdline") == b"sleep\x001003\x00"

    until(is_there, f"the daemon of {name}")
    pid = pids[-1]
    assert procfs.read(f"/proc/{pid}/environ") == b""
    assert procfs.working_directory(pid) == "/"
    assert not procfs.outputs(pid)
    return pid


@contextmanager
def stranger(tag: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user with the same limit, started by us; it lives until the end."""
    assert tag is not None
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True, cwd="/", env={}, stdout=subprocess.DEVNULL)
    try:
        resource.prlimit(process.pid, LIMIT_OF_TAGS, (tag, resource.getrlimit(LIMIT_OF_TAGS)[1]))
        assert rlimit_tag.of_process(process.pid) == tag
        yield process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(DEADLINE)


def lives(pid: int) -> bool:
    return procfs.life(pid) is not None


def end(commander: Commander, pid: int, how: str) -> None:
    """Have node ``a`` end, and wait until that is done."""
    if how == "destroyed":
        commander.send(protocol.Destroy(2, ("a",)))
    elif how == "restarted":
        commander.send(protocol.Restart(2, ("a",)))
    else:
        os.kill(pid, signal.SIGKILL)
        commander.until(protocol.Started)
        return
    assert commander.until(protocol.Done) == protocol.Done(2, {"a": ""})


ENDS = pytest.mark.parametrize("how", ["destroyed", "restarted", "crashed"])


@ENDS
def test_a_daemon_that_has_shed_all_does_not_survive_its_node(tmp_path: Path, how: str) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(hider(tmp_path, "a"))
        commander.create(hider(tmp_path, "b"))
        ours, siblings = hidden(tmp_path, "a"), hidden(tmp_path, "b")
        # Made long before, and nobody's child but the stem's.
        assert procfs.parent(ours) == procfs.parent(siblings) == process.pid
        with stranger(rlimit_tag.of_process(ours)):
            end(commander, pid, how)
            assert not lives(ours)
            assert lives(siblings)
            if how != "destroyed":
                again = hidden(tmp_path, "a", 2)
                assert lives(again)
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert not lives(siblings)


@ENDS
def test_nor_does_one_that_an_earlier_stem_knew(tmp_path: Path, how: str) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(hider(tmp_path, "a"))
        commander.create(hider(tmp_path, "b"))
        ours, siblings = hidden(tmp_path, "a"), hidden(tmp_path, "b")
        process.kill()
        process.wait(DEADLINE)
    with stem(tmp_path) as process, stranger(rlimit_tag.of_process(ours)), stranger(rlimit_tag.of_process(siblings)):
        commander = Commander(tmp_path)
        assert {node.spec.name for node in commander.hello().nodes if node.running} == {"a", "b"}
        assert lives(ours)
        assert lives(siblings)
        end(commander, pid, how)
        assert wait_for_end_of(ours)
        assert lives(siblings)
        if how != "destroyed":
            assert procfs.parent(hidden(tmp_path, "a", 2)) == process.pid
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert wait_for_end_of(siblings)


def test_nor_one_whose_node_ended_while_there_was_no_stem(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(hider(tmp_path, "a"))
        commander.create(hider(tmp_path, "b"))
        ours, siblings = hidden(tmp_path, "a"), hidden(tmp_path, "b")
        process.kill()
        process.wait(DEADLINE)
    os.kill(pid, signal.SIGKILL)
    assert wait_for_end_of(pid)
    assert lives(ours)
    with stem(tmp_path):
        assert wait_for_end_of(ours)
        hidden(tmp_path, "a", 2)
        assert lives(siblings)


@pytest.mark.parametrize("ending", ["at once", "ignored"])
@pytest.mark.parametrize("adopted", [False, True], ids=["own", "adopted"])
def test_nor_one_that_only_its_parent_ties_to_its_node(tmp_path: Path, adopted: bool, ending: str) -> None:
    """Who was a descendant when a stop was asked for, needs nothing else to be known by."""
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(hider(tmp_path, "a", "parent alone", ending))
        ours = hidden(tmp_path, "a")
        if ending == "ignored":
            until((tmp_path / "a.pids.deaf").exists, "it ignores SIGTERM")
        assert procfs.parent(ours) == pid
        assert rlimit_tag.of_process(ours) is None
        if adopted:
            process.kill()
            process.wait(DEADLINE)
        else:
            end(commander, pid, "destroyed")
            assert not lives(ours)
    if adopted:
        with stem(tmp_path):
            commander = Commander(tmp_path)
            commander.hello()
            end(commander, pid, "destroyed")
            assert wait_for_end_of(ours)


def test_nor_one_of_a_node_with_limits(tmp_path: Path) -> None:
    with stem(tmp_path):
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(msgspec.structs.replace(hider(tmp_path, "a"), resources=Resources(open_files=100)))
        ours = hidden(tmp_path, "a")
        end(commander, pid, "destroyed")
        assert not lives(ours)


def test_every_node_has_a_tag_of_its_own_which_limits_nothing(tmp_path: Path) -> None:
    with stem(tmp_path):
        commander = Commander(tmp_path)
        commander.hello()
        pids = [commander.create(spec(tmp_path, name)) for name in ("a", "b", "c")]
        found = [rlimit_tag.of_process(pid) for pid in pids]
        tree = (tmp_path / "stem" / "tree").read_text().strip()
        assert found == [rlimit_tag.of_node(tree, name) for name in ("a", "b", "c")]
        assert len(set(found)) == 3
        for pid in pids:
            _, hard = resource.prlimit(pid, LIMIT_OF_TAGS)
            assert hard == resource.getrlimit(LIMIT_OF_TAGS)[1]


def test_in_a_whole_tree_whose_stem_was_killed(tmp_path: Path) -> None:
    """Orphans of the nodes that the dead stem started go to the supervisor."""
    file, state = tmp_path / "nodes.json", tmp_path / "state"
    state.mkdir()
    nodes = [{"name": name, "command": list(hider(state, name).argv)} for name in ("a", "b")]
    file.write_text(json.dumps({"node": nodes}))
    with Daemon(tmp_path / "output", "supervise", str(file), "--state-dir", str(state)) as daemon:
        daemon.ready()
        ours, siblings = hidden(state, "a"), hidden(state, "b")
        former = psutil.Process(procfs.parent(ours))
        leader = leader_of(state, "a")
        former.kill()
        until(lambda: (state / "stem.stderr").read_text().count("found running") == 2, "nodes are found again")
        assert procfs.parent(ours) == daemon.pid
        os.kill(leader, signal.SIGKILL)
        assert wait_for_end_of(ours)
        again = hidden(state, "a", 2)
        assert lives(siblings)
        assert daemon.stop() == 0
        assert not lives(again)
        assert not lives(siblings)


def leader_of(state: Path, name: str) -> int:
    lines = map(json.loads, (state / "stem" / "processes").read_text().splitlines()[1:])
    return int(next(line["pid"] for line in lines if line["name"] == name))
