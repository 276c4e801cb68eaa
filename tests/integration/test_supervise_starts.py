"""What starts, ends and mishaps of a supervisor do to the nodes that run already."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.daemons import Daemon, wait_for_end_of
from support.waiting import until
from zeekfleet.model.launch import RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, NodeExit, Supervisor
from zeekfleet.supervisor.report import Reporter
from zeekfleet.system import procfs

DEADLINE = 30.0
SLEEP = CommandEngine(["sleep", "1000"])
ONCE = RevivalSettings(enabled=False)
STUBBORN = "trap '' TERM; echo up; while :; do sleep 1000; done"


def table(name: str, *command: str, **keys: object) -> str:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in {"name": name, "command": command, **keys}.items()]
    return f"[[node]]\n{''.join(lines)}"


class Place:
    """A file of nodes, its state directory, and daemons upon them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self._file = root / "nodes.toml"
        self._daemons = 0

    def supervise(self, *tables: str) -> Daemon:
        self._file.write_text("".join(tables))
        self._daemons += 1
        arguments = ("supervise", str(self._file), "--state-dir", str(self.state))
        return Daemon(self.root / f"output-{self._daemons}", *arguments)

    def pids(self) -> dict[str, int]:
        """The process of each node that the stem knows."""
        journal = self.state / "stem" / "processes"
        lines = journal.read_bytes().splitlines()[1:] if journal.exists() else []
        records = {record["name"]: record for record in map(json.loads, lines)}
        return {name: record["pid"] for name, record in records.items() if not record.get("gone")}

    def output(self, name: str) -> str:
        return (self.state / "nodes" / name / "stdout").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    for pid in found.pids().values():  # of a test that failed
        if procfs.start_time(pid) is not None:
            os.kill(pid, signal.SIGKILL)


def errors(daemon: Daemon) -> list[str]:
    return [line for line in daemon.stderr.splitlines() if line.startswith("error: ")]


# --- starts that fail


async def failed(supervisor: Supervisor, name: str) -> int:
    """Create a node, and leave the supervisor by an exception; the node's process."""
    pids: list[int | None] = []

    async def fail() -> None:
        async with supervisor:
            assert await supervisor.create(NodeConfig(name=name)) == ""
            pids.append(supervisor.status().nodes[name].pid)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert pids[0] is not None
    return pids[0]


def test_a_start_that_fails_leaves_running_what_it_finds(place: Place) -> None:
    good, other = table("good", "sleep", "1000"), table("other", "sleep", "1000")
    with place.supervise(good, other) as first:
        first.ready()
        before = place.pids()
        first.kill()
    changed = table("other", "sleep", "1001")
    with place.supervise(good, changed, table("bad", "sleep", "1000", directory="/proc/nope")) as second:
        assert second.wait() == 1
    assert errors(second) == ["error: failed to create working directory /proc/nope"]
    assert "Traceback" not in second.stderr
    assert place.pids() == before
    assert all(psutil.pid_exists(pid) for pid in before.values())
    with place.supervise(good, changed) as third:
        third.ready()
        assert place.pids()["good"] == before["good"]
        assert third.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in before.values())


async def test_a_retreat_takes_back_what_it_has_created_and_nothing_else(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, SLEEP, on_exit="keep") as first:
        assert await first.create(NodeConfig(name="found")) == ""
        found = first.status().nodes["found"].pid
    new = await failed(Supervisor(tmp_path, SLEEP, on_failure="retreat"), "new")
    assert found is not None
    assert psutil.pid_exists(found)
    assert not psutil.pid_exists(new)
    async with Supervisor(tmp_path, SLEEP) as third:
        assert list(third.status().nodes) == ["found"]
    assert not psutil.pid_exists(found)


@pytest.mark.parametrize(("on_failure", "runs_on"), [(None, False), ("retreat", False), ("keep", True)])
async def test_what_an_exception_does(tmp_path: Path, on_failure: object, runs_on: bool) -> None:
    pid = await failed(Supervisor(tmp_path, SLEEP, on_failure=on_failure), "a")  # type: ignore[arg-type]
    assert psutil.pid_exists(pid) is runs_on
    if runs_on:
        async with Supervisor(tmp_path, SLEEP):
            """Which stops it."""
    assert not psutil.pid_exists(pid)


# --- stems that are stopping


def test_a_supervisor_that_comes_while_all_is_being_stopped_starts_it_anew(place: Place) -> None:
    node = table("a", "sh", "-c", "trap 'echo asked' TERM; echo up; while :; do sleep 1000; done", grace=1.5)
    with place.supervise(node) as first:
        first.ready()
        before = place.pids()["a"]
        until(lambda: place.output("a") == "up\n")
        stem = psutil.Process(before).ppid()
        first.process.send_signal(signal.SIGTERM)
        until(lambda: place.output("a").endswith("asked\n"))
        first.kill()
    with place.supervise(node) as second:
        second.ready()
        after = place.pids()["a"]
        assert after != before
        assert not psutil.pid_exists(before)
        assert wait_for_end_of(stem, 0)
        until(lambda: place.output("a") == "up\nasked\nup\n")
        assert psutil.pid_exists(after)
        assert second.stop() == 0


# --- mishaps


async def test_a_report_that_fails_is_logged_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("of a test")

    monkeypatch.setattr(Reporter, "report", fail)
    told: asyncio.Queue[NodeExit] = asyncio.Queue()

    def heard(exit_: NodeExit) -> None:
        told.put_nowait(exit_)
        raise asyncio.CancelledError

    async with Supervisor(tmp_path, CommandEngine(["sleep", "1000"], revival=ONCE)) as supervisor:
        supervisor.on_node_exit(heard)
        assert not any((await supervisor.create_all([NodeConfig(name="good"), NodeConfig(name="bad")])).values())
        pids = {name: node.pid for name, node in supervisor.status().nodes.items()}
        for name in ("bad", "good"):
            pid = pids[name]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(DEADLINE):
                exit_ = await told.get()
            assert (exit_.node, exit_.signal) == (name, signal.SIGKILL)
            assert sorted(supervisor.status().nodes) == ["bad", "good"]
        assert caplog.text.count("LookupError: of a test") == 2
        assert await supervisor.create(NodeConfig(name="more")) == ""


def test_strange_things_among_crash_reports(place: Place) -> None:
    with place.supervise(table("good", "sleep", "1000"), table("bad", "sleep", "1000")) as daemon:
        daemon.ready()
        before = place.pids()
        strange = place.state / "crashes" / "bad" / "zzz"
        strange.parent.mkdir(parents=True)
        strange.symlink_to("/nonexistent")
        os.kill(before["bad"], signal.SIGKILL)
        until(lambda: place.pids().get("bad") not in (None, before["bad"]))
        until(lambda: len(list(strange.parent.iterdir())) == 2)
        assert place.pids()["good"] == before["good"]
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10


def test_a_second_signal_leaves_the_stem_to_stop_the_rest(place: Place) -> None:
    with place.supervise(table("a", "sh", "-c", STUBBORN, grace=3600.0)) as daemon:
        daemon.ready()
        pid = place.pids()["a"]
        stem = psutil.Process(pid).ppid()
        until(lambda: place.output("a") == "up\n")
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping all nodes" in daemon.stderr)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait(DEADLINE) == 1
        assert errors(daemon) == ["error: told to stop again: left before all had ended"]
        assert psutil.pid_exists(pid)
        os.kill(pid, signal.SIGKILL)
        assert wait_for_end_of(stem)


async def test_a_stopped_node_does_not_cost_its_grace(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, CommandEngine(["sleep", "1000"], grace=100.0)) as supervisor:
        await supervisor.create(NodeConfig(name="a"))
        pid = supervisor.status().nodes["a"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        async with asyncio.timeout(DEADLINE):
            assert await supervisor.destroy("a")


async def test_texts_that_no_process_can_be_given_are_an_answer(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        assert "not valid UTF-8" in await supervisor.create(NodeConfig(name="a", env={"A": "\ud800"}))
        assert "command line" in await supervisor.create_process(NodeConfig(name="a"), ["sleep", "\ud800"])
        assert await supervisor.create(NodeConfig(name="..")) == "node name '..' means a directory"
        endless = CommandEngine(["sleep", "1000"], revival=RevivalSettings(stable_after=float("inf")))
        assert "revival.stable_after" in await supervisor.create(NodeConfig(name="a"), endless)
        assert supervisor.status().nodes == {}
        assert await supervisor.create(NodeConfig(name="a")) == ""


async def test_directories_of_the_tree_are_for_us_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with Supervisor(state, CommandEngine(["sh", "-c", "exit 3"], revival=ONCE)) as supervisor:
        told: asyncio.Queue[NodeExit] = asyncio.Queue()
        supervisor.on_node_exit(told.put_nowait)
        await supervisor.create(NodeConfig(name="a"))
        async with asyncio.timeout(DEADLINE):
            await told.get()
        for directory in (state, *(state / name for name in ("nodes", "crashes", "stem"))):
            assert directory.stat().st_mode & 0o777 == 0o700, directory
