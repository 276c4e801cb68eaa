"""Nodes that are killed, that crash for ever, that will not end, or that leave others behind: in a whole tree."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from trees import INSTANCE, Tree, cluster, node

from support.daemons import Daemon, wait_for_end_of
from support.waiting import until
from zeekfleet.broker.events.agent import NotifyChange, NotifyError
from zeekfleet.broker.events.base import Event
from zeekfleet.model.enums import State
from zeekfleet.model.launch import RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, NodeExit, Supervisor

ROUNDS = 21


async def test_replaced_within_milliseconds(tmp_path: Path) -> None:
    """From the kill to the replacement's start, which the stem tells: the median of many."""
    engine = CommandEngine(["sleep", "1000"], revival=RevivalSettings(initial_delay=0, max_delay=0, loop_limit=1000))
    async with Supervisor(tmp_path, engine) as supervisor:
        started: asyncio.Queue[int] = asyncio.Queue()
        ended: asyncio.Queue[NodeExit] = asyncio.Queue()
        supervisor.on_node_status(lambda _, pid: started.put_nowait(pid))
        supervisor.on_node_exit(ended.put_nowait)
        await supervisor.create(NodeConfig(name="a"))
        times = []
        async with asyncio.timeout(60):
            pid = await started.get()
            for number in range(ROUNDS):
                began = time.time()
                os.kill(pid, signal.SIGKILL)
                successor = await started.get()
                details = supervisor.details("a")["a"]
                assert (details.state, details.pid, details.restarts) == ("running", successor, number + 1)
                times.append(details.since - began)
                end = await ended.get()
                assert (end.pid, end.signal_name, end.revive_in, end.restarts) == (pid, "SIGKILL", 0.0, number)
                assert (
                    json.loads((Path(end.crash_report) / "report.json").read_bytes())["cause"]
                    == "was killed by SIGKILL"
                )
                pid = successor
        assert statistics.median(times) < 0.5, times  # who polls takes a second; how fast it is, bench/ measures


def test_a_killed_node_is_told_with_its_cause(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, cluster(node("w1"), node("w2")))
        tree.heard.clear()
        os.kill(pids["w1"], signal.SIGKILL)
        told = tree.hears(link, lambda event: isinstance(event, NotifyError) and event.node == "w1")
        assert isinstance(told, NotifyError)
        assert told.msg.startswith("node w1 was killed by SIGKILL after ")
        found = tree.when(
            link, lambda now: now["w1"].state is State.RUNNING and now["w1"].pid not in (None, pids["w1"])
        )
        assert {name: found[name].pid for name in ("manager", "w2")} == {name: pids[name] for name in ("manager", "w2")}
        shown = tree.status()["w1"]
        assert shown["restarts"] == 1
        assert str(shown["last_exit"]).startswith("SIGKILL")
        assert tree.command("diag", "w1")[1].count("was killed by SIGKILL")


def test_one_that_crashes_for_ever_ends_as_failed_and_its_siblings_do_not_notice(tmp_path: Path) -> None:
    delays = {"initial-delay": "0.1", "factor": "2", "max-delay": "0.4", "jitter": "0"}
    loop = {"loop-limit": "6", "retry-delay": "0.9", "stable-after": "30"}
    options = [word for key, value in {**delays, **loop}.items() for word in (f"--revival-{key}", value)]
    # The first reports are looked at when there may be many more already.
    with Tree(tmp_path, *options, "--crash-reports", "1000") as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        results = tree.deploy(link, cluster(node("w1"), node("bad", ZEEKFLEET_SIM_FAIL_AT_START="3")))
        assert {result.node: result.success for result in results if result.node} == {
            "manager": True,
            "w1": True,
            "bad": False,
        }
        before = tree.running(link, "manager", "w1")
        loop_told = tree.hears(link, lambda event: isinstance(event, NotifyError) and "keeps failing" in event.msg)
        assert isinstance(loop_told, NotifyError)
        assert loop_told.node == "bad"
        tree.hears(link, lambda event: is_change(event, "bad", State.FAILED))
        found = tree.when(link, lambda now: now["bad"].state is State.FAILED)
        assert {name: found[name].pid for name in before} == before
        assert tree.status()["bad"]["state"] == "FAILED"
        assert str(tree.status()["bad"]["last_exit"]).startswith("code 3")

        reports = tree.state / "crashes" / "bad"
        until(lambda: len(finished(reports)) >= 8, "it is tried again, slowly")
        ends = [json.loads((path / "report.json").read_bytes()) for path in finished(reports)]
        ends = sorted(ends, key=lambda end: end["restarts"])[:8]
        assert [end["revive_in"] for end in ends] == [0.0, 0.1, 0.2, 0.4, 0.4, 0.4, 0.9, 0.9]
        assert [end["failed"] for end in ends] == [False] * 6 + [True] * 2
        # And it was so: each end came that much later than the one before, at least.
        for earlier, later in itertools.pairwise(ends):
            assert later["at"] - earlier["at"] >= earlier["revive_in"]
        assert tree.running(link, *before) == before
        # Told as failed once, not at every further try.
        assert sum(isinstance(event, NotifyError) and "keeps failing" in event.msg for event in tree.heard) == 1


def finished(reports: Path) -> list[Path]:
    return [path for path in reports.iterdir() if not path.name.startswith(".")] if reports.exists() else []


def is_change(event: Event, name: str, state: State) -> bool:
    return isinstance(event, NotifyChange) and event.n.name == name and event.new is state


def test_one_that_ignores_sigterm_has_its_own_deadline_and_its_siblings_end_meanwhile(tmp_path: Path) -> None:
    grace = 2.0
    with Tree(tmp_path, "--grace", str(grace)) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        stubborn = [node(f"s{number}", ZEEKFLEET_SIM_IGNORE_SIGTERM="1") for number in range(3)]
        pids = tree.deployed(link, cluster(node("w1"), node("w2"), *stubborn))
        began = time.monotonic()
        link.publish(tree.deploy_request(link, cluster()))
        for name in ("w1", "w2"):
            assert wait_for_end_of(pids[name])
        gentle = time.monotonic() - began
        assert all(psutil.pid_exists(pids[each.name]) for each in stubborn)
        for each in stubborn:
            assert wait_for_end_of(pids[each.name])
        took = time.monotonic() - began
        assert gentle < grace <= took < 2 * grace  # and not three times that, one after the other
        until(
            lambda: all(f"node '{each.name}' was killed by SIGKILL" in tree.daemon.stderr for each in stubborn), "told"
        )
        assert {*tree.running(link, "manager")} == {"manager"}


FAMILY = """
import os, subprocess, sys, time
code = "import os, time; os.write(1, str(os.getpid()).encode() + bytes([10])); time.sleep(1000)"
sleep = [sys.executable, "-S", "-c", code]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
subprocess.Popen(["sh", "-c", "trap '' TERM HUP; \\"$@\\"; :", "sh", *sleep], start_new_session=True)
if os.fork() == 0:  # a daemon, as of old: its parents are gone, it leads a session of its own
    os.setsid()
    if os.fork() == 0:
        subprocess.Popen(sleep)
        os.execv(sleep[0], sleep)
    os._exit(0)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", ["the tree is stopped", "the leader is killed", "the stem was killed before"])
def test_nothing_that_a_node_has_started_survives_it(tmp_path: Path, how: str) -> None:
    file = tmp_path / "nodes.json"
    family = {"name": "a", "command": [sys.executable, "-S", "-c", FAMILY]}
    file.write_text(json.dumps({"node": [family, {"name": "sibling", "command": ["sleep", "1000"]}]}))
    state = tmp_path / "state"
    output = state / "nodes" / "a" / "stdout"
    with Daemon(tmp_path / "output", "supervise", str(file), "--state-dir", str(state)) as daemon:
        daemon.ready()

        def members() -> list[int]:
            return [int(line) for line in output.read_text().split()]

        until(lambda: output.exists() and len(members()) == 5, "the family is complete")
        first = members()
        leader = next(
            process.pid for process in psutil.process_iter() if process.pid not in first and FAMILY in command(process)
        )
        assert all(psutil.pid_exists(pid) for pid in first)
        if how == "the stem was killed before":
            stem = next(child for child in psutil.Process(daemon.pid).children() if "zeekfleet.stem" in command(child))
            stem.kill()
            until(lambda: (state / "stem.stderr").read_text().count("found running") == 2, "nodes are found again")
        if how == "the leader is killed":
            os.kill(leader, signal.SIGKILL)
            until(lambda: len(members()) == 10, "another family lives")
            assert all(wait_for_end_of(pid) for pid in first)
        pids = members()
        assert daemon.stop() == 0
        assert not any(running(pid) for pid in [*pids, leader])


SHED = """
import os, subprocess, sys, time
code = "import os, time; os.write(1, str(os.getpid()).encode() + bytes([10])); time.sleep(1000)"
# One keeps its directory, the other its output; nothing else is left of where they come from.
for place, output in ((None, "gone"), ("/", None)):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir(place or ".")
            if output:
                code = code.replace("os.write(1", f"os.write(os.open('{output}', os.O_CREAT | os.O_WRONLY)")
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, 1)
                os.dup2(null, 2)
            os.execve(sys.executable, [sys.executable, "-S", "-c", code], {})
        os._exit(0)
time.sleep(1000)
"""


def test_what_has_shed_its_environment_does_not_survive_either(tmp_path: Path) -> None:
    """Without a control group, that is."""
    file = tmp_path / "nodes.json"
    nodes = [{"name": name, "command": [sys.executable, "-S", "-c", SHED]} for name in ("a", "b")]
    file.write_text(json.dumps({"node": nodes}))
    state = tmp_path / "state"
    with Daemon(tmp_path / "output", "supervise", str(file), "--state-dir", str(state)) as daemon:
        daemon.ready()

        def members(name: str) -> list[int]:
            files = (state / "nodes" / name / each for each in ("stdout", "gone"))
            return [int(line) for each in files if each.exists() for line in each.read_text().split()]

        until(lambda: len(members("a")) == len(members("b")) == 2, "all are there")
        first, others = members("a"), members("b")
        journal = (state / "stem" / "processes").read_text().splitlines()[1:]
        leader = next(line["pid"] for line in map(json.loads, journal) if line["name"] == "a")
        os.kill(leader, signal.SIGKILL)
        assert all(wait_for_end_of(pid) for pid in first)
        assert all(running(pid) for pid in others)
        assert daemon.stop() == 0
        assert not any(running(pid) for pid in others)


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_family_survives_where_nobody_looks_after_it() -> None:
    """Which is what makes the test above one."""
    command = [sys.executable, "-S", "-c", FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as alone:
        assert alone.stdout is not None
        pids = [int(alone.stdout.readline()) for _ in range(5)]
        alone.kill()
        alone.wait()
        assert all(running(pid) for pid in pids)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
