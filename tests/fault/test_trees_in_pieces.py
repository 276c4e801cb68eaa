"""A whole tree loses processes, files and directories: its nodes run on, and it comes back to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from itertools import combinations
from pathlib import Path

import psutil
import pytest
from trees import INSTANCE, Tree, cluster, node

from support.daemons import Daemon, processes_mentioning, wait_for_end_of
from support.waiting import until
from zeekfleet.broker.events.agent import NotifyError
from zeekfleet.client.link import Link
from zeekfleet.model.enums import Role, State
from zeekfleet.model.management import Configuration, NodeStatus

PARTS = ("supervisor", "stem", "agent", "controller")
VICTIMS = [victims for size in (1, 2, 3, 4) for victims in combinations(PARTS, size)]
COUNTING = node("w1", ZEEKFLEET_SIM_OUTPUT="line", ZEEKFLEET_SIM_OUTPUT_REPEAT="1000")


def all_up(found: dict[str, NodeStatus], *names: str) -> bool:
    return all(name in found and found[name].state is State.RUNNING for name in (*names, INSTANCE, "controller"))


Whole = tuple[Configuration, dict[str, int], dict[Role, int], dict[int, str]]


def whole(tree: Tree) -> Whole:
    """A cluster that runs: its configuration, the processes of nodes and of roles, and all there are."""
    with tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        configuration = cluster(COUNTING, node("w2"))
        pids = tree.deployed(link, configuration)
        roles = {role: tree.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)}
    until(lambda: len(list((tree.state / "nodes" / "w1").glob("stdout"))) == 1, "it has written")
    return configuration, pids, roles, processes(tree)


def processes(tree: Tree) -> dict[int, str]:
    """Of the tree, the command lines of simulated nodes and daemons."""
    return processes_mentioning(str(tree.state))


QUICK = (("supervisor",), VICTIMS[-1])
"""Tried whenever the tests are; the others with the long ones."""


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(victims, id=" ".join(victims), marks=() if victims in QUICK else pytest.mark.long)
        for victims in VICTIMS
    ],
)
def test_killed(tmp_path: Path, victims: tuple[str, ...]) -> None:
    with Tree(tmp_path) as tree:
        configuration, pids, roles, before = whole(tree)
        targets = {
            "supervisor": tree.daemon.pid,
            "stem": tree.stem.pid,
            "agent": roles[Role.AGENT],
            "controller": roles[Role.CONTROLLER],
        }
        for name in victims:
            os.kill(targets[name], signal.SIGKILL)
        for name in victims:
            if name == "supervisor":
                tree.daemon.wait()
            assert wait_for_end_of(targets[name])
        if "supervisor" in victims:
            with tree.again() as second:
                found_again(second, configuration, pids, before)
        else:
            found_again(tree, configuration, pids, before)
    assert processes(tree) == {}


def found_again(tree: Tree, configuration: Configuration, pids: dict[str, int], before: dict[int, str]) -> None:
    """Each node is the process it was, watched and told right; nothing is there twice."""
    with tree.link() as link:
        found = tree.when(link, lambda now: all_up(now, *pids))
        assert {name: found[name].pid for name in pids} == pids
        told = tree.configuration(link)
        assert told is not None
        assert told.id == configuration.id
        assert (tree.state / "nodes" / "w1" / "stdout").read_text().count("line\n") == 1000
        until(lambda: len(processes(tree)) == len(before), f"as many processes as before: {before}")
        shown = tree.status()
        assert {name: shown[name]["restarts"] for name in pids} == dict.fromkeys(pids, 0)
        os.kill(pids["w2"], signal.SIGKILL)
        found = tree.when(link, lambda now: all_up(now, *pids) and now["w2"].pid != pids["w2"])
        assert {name: found[name].pid for name in ("manager", "w1")} == {name: pids[name] for name in ("manager", "w1")}
        assert tree.status()["w2"]["restarts"] == 1
        # The same configuration touches nothing.
        assert all(result.success for result in tree.deploy(link))
        assert tree.nodes(link)["w1"].pid == pids["w1"]


# --- files

KEPT = (
    "stem/processes",
    pytest.param("stem/launches", marks=pytest.mark.long),
    pytest.param("nodes/*/settings.json", marks=pytest.mark.long),
    pytest.param("nodes/*/ready", marks=pytest.mark.long),
)
"""What is written while nodes run, below the state directory, beside the database."""


@pytest.mark.parametrize("pattern", KEPT)
def test_a_file_torn_while_it_was_written(tmp_path: Path, pattern: str) -> None:
    with Tree(tmp_path) as tree:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            configuration = cluster(COUNTING, node("w2"))
            pids = tree.deployed(link, configuration)
        stem = tree.stem
        tree.daemon.kill()
        stem.kill()
        assert wait_for_end_of(stem.pid)
        torn = list(tree.state.glob(pattern))
        assert torn
        for path in torn:
            content = path.read_bytes()
            # What is launched is put away before its first start: a line that was not finished is of nobody yet.
            half = content + content.splitlines()[-1][:100] if path.name == "launches" else content[: len(content) // 2]
            path.write_bytes(half)
        with tree.again() as second, second.link() as link:
            found = second.when(link, lambda now: all_up(now, *pids))
            assert {name: found[name].pid for name in pids} == pids
            told = second.configuration(link)
            assert told is not None
            assert told.id == configuration.id
            assert {*second.deployed(link, cluster(node("w1"), node("w3")))} == {"manager", "w1", "w3"}
    assert processes(tree) == {}


# --- the stem's directory, of which nothing but processes may be left

FOUR = [{"name": f"e{number}", "command": ["sleep", "1000"]} for number in (1, 2)] + [
    {"name": f"s{number}", "engine": "sim"} for number in (1, 2)
]


def state_of_stem(state: Path, damage: str) -> None:
    """Damage what the stem keeps."""
    directory = state / "stem"
    launches = directory / "launches"
    match damage:
        case "launches cut short":
            content = launches.read_bytes()
            launches.write_bytes(content[: len(content) // 2])
        case "launches of another version":
            launches.write_bytes(launches.read_bytes().replace(b'"version":3', b'"version":2'))
        case "launches and journal lost":
            launches.unlink()
            (directory / "processes").unlink()
        case "all of it":
            shutil.rmtree(directory)


DAMAGES = ("launches cut short", "launches of another version", "launches and journal lost", "all of it")


def pids_of(state: Path) -> dict[str, int]:
    journal = (state / "stem" / "processes").read_bytes().splitlines()[1:]
    return {line["name"]: line["pid"] for line in map(json.loads, journal) if line.get("pid")}


@pytest.mark.parametrize("damage", [*DAMAGES[:-1], pytest.param(DAMAGES[-1], marks=pytest.mark.long)])
def test_supervised_nodes_outlive_what_the_stem_has_written(tmp_path: Path, damage: str) -> None:
    file, state = tmp_path / "nodes.json", tmp_path / "state"
    file.write_text(json.dumps({"node": FOUR}))
    options = ("supervise", str(file), "--state-dir", str(state))
    with Daemon(tmp_path / "first", *options) as first:
        first.ready()
        pids = pids_of(state)
        assert set(pids) == {"e1", "e2", "s1", "s2"}
        stem = next(child for child in psutil.Process(first.pid).children() if "zeekfleet.stem" in child.cmdline())
        stem.suspend()
        first.kill()
        state_of_stem(state, damage)
        stem.kill()
        assert wait_for_end_of(stem.pid)
    with Daemon(tmp_path / "second", *options) as second:
        second.ready()
        assert pids_of(state) == pids
        assert "nobody's" not in (state / "stem.stderr").read_text()
        # All of them are watched, and come back as what they were.
        for name, pid in pids.items():
            os.kill(pid, signal.SIGKILL)
            until(lambda name=name, pid=pid: pids_of(state).get(name) not in (None, pid), f"{name} is replaced")
        again = pids_of(state)
        assert all(psutil.pid_exists(pid) for pid in again.values())
        kinds = {name: "zeekfleet.node.simulator" in psutil.Process(pid).cmdline() for name, pid in again.items()}
        assert kinds == {"e1": False, "e2": False, "s1": True, "s2": True}
        assert psutil.Process(again["s2"]).cwd() == str(state / "nodes" / "s2")
        assert second.stop() == 0
    assert processes_mentioning(str(state)) == {}


@pytest.mark.parametrize("damage", ["all of it", pytest.param("launches of another version", marks=pytest.mark.long)])
def test_a_tree_outlives_what_the_stem_has_written(tmp_path: Path, damage: str) -> None:
    with Tree(tmp_path) as tree:
        configuration, pids, roles, before = whole(tree)
        stem = tree.stem
        stem.suspend()
        tree.daemon.kill()
        state_of_stem(tree.state, damage)
        stem.kill()
        assert wait_for_end_of(stem.pid)
        with tree.again() as second:
            found_again(second, configuration, pids, before)
            with second.link() as link:
                assert {role: second.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)} == roles
    assert processes(tree) == {}


# --- directories


@pytest.mark.parametrize(
    "what",
    ["nodes/w1", *(pytest.param(each, marks=pytest.mark.long) for each in ("crashes", "stem", "spool")), ""],
    ids=lambda what: what or "all of it",
)
def test_a_directory_removed(tmp_path: Path, what: str) -> None:
    with Tree(tmp_path) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, cluster(node("w1"), node("w2")))
        daemons = {tree.stem.pid, *(tree.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER))}
        os.kill(pids["w2"], signal.SIGKILL)
        pids["w2"] = replaced(tree, link, "w2", pids["w2"])
        victim = tree.spool if what == "spool" else tree.state / what
        assert victim.is_dir()
        remove(victim)
        assert tree.running(link, *pids) == pids
        assert all(psutil.pid_exists(pid) for pid in daemons)
        os.kill(pids["w1"], signal.SIGKILL)
        if not what:
            # What simulated nodes dial has gone, too: they are started, and cannot say hello.
            until(lambda: tree.daemon.stderr.count("node 'w1' was killed by SIGKILL") == 1, "its end is told")
            (refused,) = tree.stage(link, cluster())
            assert not refused.success
            database = tree.state / "nodes" / "controller" / "controller.sqlite"
            assert refused.error == f"database {database} is not in its directory any more"
            assert tree.nodes(link)["w2"].pid == pids["w2"]
            return
        pids["w1"] = replaced(tree, link, "w1", pids["w1"])
        assert tree.running(link, *pids) == pids
        assert {*tree.deployed(link, cluster(node("w1"), node("w3")))} == {"manager", "w1", "w3"}
        assert all(psutil.pid_exists(pid) for pid in daemons)


def remove(directory: Path) -> None:
    """Remove it for good: daemons may write to it meanwhile."""

    def is_gone() -> bool:
        shutil.rmtree(directory, ignore_errors=True)
        return not directory.exists()

    until(is_gone, f"{directory} is gone")


def replaced(tree: Tree, link: Link, name: str, former: int) -> int:
    """The pid of a node that has taken the place of another process."""
    found = tree.when(link, lambda now: now[name].state is State.RUNNING and now[name].pid not in (None, former))
    return found[name].pid or 0


# --- the database


@pytest.mark.parametrize(
    "damage",
    ["garbage", *(pytest.param(each, marks=pytest.mark.long) for each in ("cut short", "nothing left", "newer"))],
)
def test_a_damaged_database_is_set_aside_and_the_nodes_run_on(tmp_path: Path, damage: str) -> None:
    with Tree(tmp_path) as tree:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            configuration = cluster(node("w1"), node("w2"))
            pids = tree.deployed(link, configuration)
            controller, agent = (tree.pid_of_role(link, role) for role in (Role.CONTROLLER, Role.AGENT))
        directory = tree.state / "nodes" / "controller"
        database = directory / "controller.sqlite"
        os.kill(controller, signal.SIGSTOP)  # while it is damaged, nobody writes
        saved = {path.name: path.read_bytes() for path in directory.glob("controller.sqlite*")}
        assert saved.keys() == {"controller.sqlite", "controller.sqlite-wal"}
        content = {
            "garbage": os.urandom(len(saved[database.name])),
            "cut short": saved[database.name][: len(saved[database.name]) // 2],
            "nothing left": b"",
            "newer": saved[database.name][:60] + (999).to_bytes(4, "big") + saved[database.name][64:],
        }[damage]
        (tmp_path / "damaged").write_bytes(content)
        if damage == "cut short":
            (directory / "controller.sqlite-wal").unlink()  # which has all of the pages, and mends that
        # Another file in its place: the process writes no more into this one.
        (tmp_path / "damaged").rename(database)
        os.kill(controller, signal.SIGKILL)
        assert wait_for_end_of(controller)

        with tree.link() as link:
            notice = tree.hears(link, lambda event: isinstance(event, NotifyError) and event.instance == "controller")
            assert isinstance(notice, NotifyError)
            asides = sorted(directory.glob("controller.sqlite.*"))
            assert asides[0].name.startswith(
                "controller.sqlite.newer-version-999-" if damage == "newer" else "controller.sqlite.damaged-"
            )
            assert f"is empty, since the former one was set aside as {asides[0].name}:" in notice.msg
            assert asides[0].read_bytes() == content
            if damage != "cut short":
                assert asides[1].name == f"{asides[0].name}-wal"
                assert asides[1].read_bytes() == saved["controller.sqlite-wal"]
            (sentence,) = [line for line in tree.log_of("controller").splitlines() if line.startswith("error: ")]
            assert ("999" if damage == "newer" else "corrupt") in sentence
            assert f"; it was set aside as {' and '.join(path.name for path in asides)}, and" in sentence
            assert f"\tERROR\tCONTROLLER\t{notice.msg}\n" in (directory / "management-controller.log").read_text()

            # Nothing is known of a configuration, and all is known of what runs.
            found = tree.when(link, lambda now: all_up(now, *pids))
            assert {name: found[name].pid for name in pids} == pids
            shown = tree.status()
            assert {name: (shown[name]["state"], shown[name]["restarts"]) for name in pids} == dict.fromkeys(
                pids, ("RUNNING", 0)
            )
            assert tree.configuration(link) is None
            assert tree.pid_of_role(link, Role.AGENT) == agent

            # Deployed again, nothing is touched.
            assert tree.deployed(link, configuration) == pids
            if damage == "newer":
                another_is_deployed_and_outlives_the_controller(tree, link)
    assert sorted(directory.glob("controller.sqlite.*")) == asides
    assert processes(tree) == {}


def another_is_deployed_and_outlives_the_controller(tree: Tree, link: Link) -> None:
    """The database that was begun is one like any other, and nobody is told of the former one any more."""
    pids = tree.deployed(link, cluster(node("w1"), node("w3")))
    assert {*pids} == {"manager", "w1", "w3"}
    log = tree.state / "nodes" / "controller" / "management-controller.log"
    size = log.stat().st_size
    controller = tree.pid_of_role(link, Role.CONTROLLER)
    os.kill(controller, signal.SIGKILL)
    assert wait_for_end_of(controller)
    with tree.link() as other:
        assert tree.running(other, *pids) == pids
        told = tree.configuration(other)
        assert told is not None
        assert {each.name for each in told.nodes} == {*pids}
    assert "is empty" not in log.read_text()[size:]


def test_times_are_told(tmp_path: Path) -> None:
    """What is found again within a second of the parts' return: the stem's, after it was killed."""
    with Tree(tmp_path) as tree:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            pids = tree.deployed(link, cluster(*(node(f"w{number}") for number in range(10))))
        former = tree.stem
        former.kill()
        assert wait_for_end_of(former.pid)
        began = time.monotonic()
        until(lambda: tree.log_of("stem").count("found running") == len(pids) + 2, "all are found again")
        assert time.monotonic() - began < 5
        journal = (tree.state / "stem" / "processes").read_bytes().splitlines()[1:]
        assert {json.loads(line)["name"]: json.loads(line)["pid"] for line in journal}.items() >= pids.items()


@pytest.mark.long
def test_the_stem_alone_is_told_to_stop(tmp_path: Path) -> None:
    """By a hand that took the wrong process: a tree that serves on with nothing to serve would look well."""
    with Tree(tmp_path, "--on-exit", "keep") as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        tree.deployed(link, cluster(node("w1")))
        tree.stem.terminate()
        assert tree.daemon.wait() == 0
        assert "all nodes were stopped by a signal to their stem" in tree.daemon.stderr
        assert processes_mentioning(f"{tree.state}/") == {}
