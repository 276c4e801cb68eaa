"""What befalls supervised nodes and their supervisors: kills of all kinds, crashes, shortages, limits."""

# Files of crashed processes tell nobody when they change, and the loop has nothing else to do.
# ruff: noqa: ASYNC240

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from supervised import DEADLINE, Ends, details

from support.daemons import Daemon, alive, wait_for_end_of
from support.waiting import async_until, until
from zeekfleet.model.launch import Resources, RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.stem import records
from zeekfleet.supervisor import CommandEngine, Supervisor
from zeekfleet.supervisor.crash import CrashSettings
from zeekfleet.system import procfs

SLEEP = CommandEngine(["sleep", "1000"])
ONCE = RevivalSettings(enabled=False)


def script(text: str, **options: object) -> CommandEngine:
    return CommandEngine(["sh", "-c", text], **options)  # type: ignore[arg-type]


def running_pid(supervisor: Supervisor, name: str = "a") -> int:
    found = details(supervisor, name)
    assert found.state == "running"
    assert found.pid is not None
    return found.pid


# --- whole trees


def nodes_file(directory: Path, extra: str = "") -> Path:
    file = directory / "nodes.toml"
    text = "".join(
        f'[[node]]\nname = "{name}"\ncommand = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"]\n'
        for name in ("a", "b")
    )
    file.write_text(extra + text)
    return file


def journal(state: Path) -> dict[str, int | None]:
    lines = (state / records.DIRECTORY_NAME / records.JOURNAL_NAME).read_bytes().splitlines()[1:]
    return {record["name"]: record["pid"] for record in map(json.loads, lines)}


def stem_of(pid: int) -> psutil.Process:
    return next(child for child in psutil.Process(pid).children() if "zeekfleet.stem" in child.cmdline())


@pytest.mark.parametrize("victims", ["stem", "supervisor", "both"])
def test_nodes_and_their_output_outlive_everything(tmp_path: Path, victims: str) -> None:
    state = tmp_path / "state"
    arguments = ("supervise", str(nodes_file(tmp_path)), "--state-dir", str(state))
    with Daemon(tmp_path / "one", *arguments) as first:
        first.ready()
        before = journal(state)
        stem = stem_of(first.pid)
        if victims != "stem":
            first.kill()
        if victims != "supervisor":
            stem.kill()
            assert wait_for_end_of(stem.pid)
        with contextlib.ExitStack() as second:
            if victims == "stem":
                again = first
                _adopted_soon(state, before)
            else:
                again = second.enter_context(Daemon(tmp_path / "two", *arguments))
                again.ready()
            assert journal(state) == before
            assert all(psutil.pid_exists(pid) for pid in before.values() if pid)
            for name in before:
                lines = (state / "nodes" / name / "stdout").read_text().splitlines()[:-1]
                assert [int(line) for line in lines] == list(range(1, len(lines) + 1))
            # They are watched: one that is killed is replaced, and how it ended is known to all.
            victim = before["a"]
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            until(lambda: journal(state)["a"] != victim)
            assert journal(state)["b"] == before["b"]
            assert again.stop() == 0
        assert not any(alive(pid) for pid in before.values() if pid)


def _adopted_soon(state: Path, before: dict[str, int | None]) -> None:
    log = state / "stem.stderr"
    until(lambda: log.read_text().count("found running") >= len(before))


def test_on_exit_keep_leaves_all_running_and_the_next_one_finds_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    arguments = ("supervise", str(nodes_file(tmp_path)), "--state-dir", str(state))
    with Daemon(tmp_path / "one", *arguments, "--on-exit", "keep") as first:
        first.ready()
        before = journal(state)
        stem = stem_of(first.pid).pid
        assert first.stop() == 0
    assert psutil.pid_exists(stem)
    with Daemon(tmp_path / "two", *arguments) as second:
        second.ready()
        assert journal(state) == before
        assert all(psutil.pid_exists(pid) for pid in before.values() if pid)
        assert second.stop() == 0
    assert not any(alive(pid) for pid in [*before.values(), stem] if pid)


# --- crashes


async def test_a_crash_report_tells_all_and_no_secret(tmp_path: Path) -> None:
    engine = CommandEngine(["sh", "-c", "echo out; echo err >&2; kill -SEGV $$", "--api-token=abc"], revival=ONCE)
    environment = {"PATH": os.environ["PATH"], "PLAIN": "seen", "DB_PASSWORD": "hidden-1", "API_KEY": "hidden-2"}
    async with Supervisor(tmp_path, engine, environment=environment) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await ends.until(lambda: ends.all)
        report = Path(ends.all[0].crash_report)
        assert report.parent == tmp_path / "crashes" / "a"
        assert details(supervisor).crash_report == str(report)
        assert (report / "stdout").read_text() == "out\n"
        assert (report / "stderr").read_text() == "err\n"
        content = json.loads((report / "report.json").read_bytes())
        assert content["cause"].startswith("was killed by SIGSEGV")
        assert content["environment"]["PLAIN"] == "seen"
        assert content["limits"]["Max open files"]
        assert content["usage"]["max_resident"] > 0
        assert report.stat().st_mode & 0o777 == 0o700
        everything = "".join(path.read_text() for path in report.iterdir())
        assert "hidden" not in everything
        assert "abc" not in everything
        found = details(supervisor)
        assert (found.state, found.signal, found.code) == ("waiting", "SIGSEGV", None)


async def test_reports_are_kept_to_a_count(tmp_path: Path) -> None:
    revival = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=10**6)
    async with Supervisor(tmp_path, script("exit 3", revival=revival), crashes=CrashSettings(count=3)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await ends.until(lambda: len(ends.all) >= 12)
        assert await supervisor.destroy("a")
        assert 1 <= len(list((tmp_path / "crashes" / "a").iterdir())) <= 3


async def test_a_core_is_looked_at_by_a_debugger(tmp_path: Path) -> None:
    from shutil import which

    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if which("gdb") is None or pattern.startswith("|") or "/" in pattern:
        pytest.skip("no gdb, or cores do not go to the working directory")
    engine = CommandEngine(["sleep", "1000"], revival=ONCE, resources=Resources(core=2**30))
    async with Supervisor(tmp_path, engine) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        os.kill(running_pid(supervisor), signal.SIGABRT)
        await ends.until(lambda: ends.all)
        assert ends.all[0].core_dumped
        backtrace = Path(ends.all[0].crash_report) / "backtrace"
        await async_until(lambda: backtrace.exists() and backtrace.read_text())
        assert "SIGABRT" in backtrace.read_text()


async def test_a_crash_loop_is_told_once_as_failed(tmp_path: Path) -> None:
    revival = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=3, retry_delay=0.05)
    async with Supervisor(tmp_path, script("exit 1", revival=revival)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await ends.until(lambda: len(ends.all) >= 8)
        assert sum(exit_.newly_failed for exit_ in ends.all) == 1
        assert ends.all[-1].failed
        assert details(supervisor).restarts >= 6


# --- resources


async def test_resources_take_effect_and_are_told(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    wanted = Resources(cpus=(cpu,), nice=7, memory=300 * 2**20, open_files=77, core=0)
    async with Supervisor(tmp_path, CommandEngine(["sleep", "1000"], resources=wanted)) as supervisor:
        await supervisor.create(NodeConfig(name="a"))
        process = psutil.Process(running_pid(supervisor))
        assert process.cpu_affinity() == [cpu]
        assert process.nice() == 7
        assert process.rlimit(psutil.RLIMIT_NOFILE) == (77, 77)
        told = details(supervisor).resources
        assert told["cpus"] == str(cpu)
        assert told["nice"] == "7"
        assert told["open_files"] == "77"
        assert told["memory"].startswith(str(300 * 2**20))


async def test_memory_beyond_the_limit_is_refused_to_the_node_alone(tmp_path: Path) -> None:
    eater = "x = bytearray(512 * 2**20)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time\ntime.sleep(1000)\n"
    command = [sys.executable, "-S", "-c", eater]
    limit = Resources(memory=128 * 2**20)
    async with Supervisor(tmp_path, CommandEngine(command, revival=ONCE, resources=limit)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="sibling"), SLEEP)
        await supervisor.create(NodeConfig(name="a"))
        await ends.until(lambda: ends.all)
        end = ends.all[0]
        # A control group has it killed, and that is told; a plain limit has it fail by itself.
        assert end.out_of_memory or "MemoryError" in end.outputs.stderr
        assert details(supervisor, "sibling").state == "running"


async def test_a_control_group_kills_what_left_every_session(tmp_path: Path) -> None:
    family = "for n in 1 2 3; do (setsid env -i sh -c 'echo $$; exec sleep 1000' &); done; exec sleep 1000"
    engine = script(family, resources=Resources(cgroup=True))
    async with Supervisor(tmp_path, engine) as supervisor:
        await supervisor.create(NodeConfig(name="a"))
        if "cgroup" not in details(supervisor).resources:
            pytest.skip("no control group can be made here")
        output = tmp_path / "nodes/a/stdout"
        await async_until(lambda: len(output.read_text().split()) == 3)
        pids = [int(word) for word in output.read_text().split()]
        group = Path(details(supervisor).resources["cgroup"])
        assert await supervisor.destroy("a")
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not group.exists()
    assert not group.parent.exists()


# --- the system


async def test_shortages_are_waited_out_and_not_held_against_the_node(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="first"))
        stem = psutil.Process(running_pid(supervisor, "first")).parent()
        assert stem is not None
        before = stem.rlimit(psutil.RLIMIT_NOFILE)
        stem.rlimit(psutil.RLIMIT_NOFILE, (stem.num_fds(), before[1]))
        await supervisor.create(NodeConfig(name="a"))
        await ends.until(lambda: len(ends.all) >= 6)
        assert not any(exit_.failed for exit_ in ends.all)
        assert "Too many open files" in str(ends.all[0])
        assert details(supervisor, "first").state == "running"
        stem.rlimit(psutil.RLIMIT_NOFILE, before)
        await async_until(lambda: details(supervisor).state == "running")


async def test_a_recycled_pid_is_not_signalled(tmp_path: Path) -> None:
    """What a stem finds under a recorded pid is its own only with the recorded start time."""
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        await supervisor.create(NodeConfig(name="a"))
        pid = running_pid(supervisor)
        assert procfs.start_time(pid) is not None
        parent = psutil.Process(pid).parent()
        assert parent is not None
        parent.kill()
        await async_until(lambda: psutil.Process(pid).parent() != parent)
        path = tmp_path / records.DIRECTORY_NAME / records.JOURNAL_NAME
        assert f'"start_time":{procfs.start_time(pid)}' in path.read_text()
        assert await supervisor.restart("a")
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_clock_jumps_move_nothing() -> None:
    """Waits are measured by a clock that cannot be set: an hour more on the wall starts and stops nothing."""
    from zeekfleet.system.timers import Timers

    now = [100.0]
    timers = Timers(lambda: now[0])
    called: list[int] = []
    timers.after(10, lambda: called.append(1))
    timers.run_due()
    assert called == []
    assert timers.wait() == 10


async def test_a_binary_that_vanished_comes_back(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o700)
    revival = RevivalSettings(initial_delay=0.02, max_delay=0.05, loop_limit=1000)
    async with Supervisor(tmp_path / "state", CommandEngine([str(program)], revival=revival)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        program.rename(tmp_path / "elsewhere")
        os.kill(running_pid(supervisor), signal.SIGKILL)
        await ends.until(lambda: len(ends.all) >= 3)
        assert "No such file" in str(ends.all[-1])
        (tmp_path / "elsewhere").rename(program)
        await async_until(lambda: details(supervisor).state == "running")


async def test_a_clean_process_finds_nothing_of_ours(tmp_path: Path) -> None:
    dump = (
        "import json, os, signal\n"
        "print(json.dumps({'fds': sorted(int(f) for f in os.listdir('/proc/self/fd'))[:-1],"
        " 'sid': os.getsid(0) == os.getpid(), 'env': sorted(os.environ), 'cwd': os.getcwd(),"
        " 'mask': [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],"
        " 'ignored': [l for l in open('/proc/self/status') if l.startswith('SigIgn')][0].split()[1]}))\n"
    )
    env = {"PATH": os.environ["PATH"], "MINE": "1"}
    for resources in (Resources(), Resources(cgroup=True)):
        engine = CommandEngine([sys.executable, "-I", "-S", "-c", dump], revival=ONCE, resources=resources)
        async with Supervisor(tmp_path / str(resources.cgroup), engine, environment=env) as supervisor:
            ends = Ends(supervisor)
            await supervisor.create(NodeConfig(name="a"))
            await ends.until(lambda told=ends: told.all)  # type: ignore[misc]
            seen = json.loads(ends.all[0].outputs.stdout)
        assert seen["fds"] == [0, 1, 2]
        assert seen["sid"]
        assert seen["mask"] == []
        assert set(seen["env"]) - {"LC_CTYPE"} == {"PATH", "MINE", "ZEEKFLEET_LAUNCH", "ZEEKFLEET_NODE_CONFIG"}
        # Python itself ignores SIGPIPE and SIGXFSZ; 32 and 33 are the C library's.
        assert int(seen["ignored"], 16) & ~(1 << 12 | 1 << 24 | 1 << 31 | 1 << 32) == 0


async def test_a_hundred_end_together_and_one_that_will_not_costs_its_grace_once(tmp_path: Path) -> None:
    stubborn = script("trap '' TERM; echo up; while :; do sleep 1000; done", grace=0.5)
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        names = [f"n{number}" for number in range(100)]
        assert not any((await supervisor.create_all([NodeConfig(name=name) for name in names])).values())
        several = [f"s{number}" for number in range(12)]
        for name in several:
            await supervisor.create(NodeConfig(name=name), stubborn)
        await async_until(lambda: all((tmp_path / "nodes" / name / "stdout").stat().st_size for name in several))
        began = time.monotonic()
        assert await supervisor.destroy()
        # One after the other would take six seconds.
        assert 0.5 <= time.monotonic() - began < 5
        assert supervisor.details() == {}


async def test_a_thousand_crashes_in_a_row(tmp_path: Path) -> None:
    revival = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=10**6)
    async with Supervisor(tmp_path, script("exit 1", revival=revival)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="sibling"), SLEEP)
        sibling = running_pid(supervisor, "sibling")
        await supervisor.create(NodeConfig(name="a"))
        await ends.until(lambda: len(ends.all) >= 1000, timeout=300)
        assert running_pid(supervisor, "sibling") == sibling
        stem = psutil.Process(sibling).parent()
        assert stem is not None
        assert stem.memory_info().rss < 25 * 2**20
        assert len(list((tmp_path / "crashes" / "a").iterdir())) <= 11


async def test_details_and_ends_by_events(tmp_path: Path) -> None:
    from zeekfleet.broker import topics
    from zeekfleet.broker.events import supervision
    from zeekfleet.broker.events.supervisor import NotifyNodeExit
    from zeekfleet.supervisor.control import SupervisorControl
    from zeekfleet.transport.bus import Delivery
    from zeekfleet.transport.websocket import WebSocketBus

    revival = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=2, retry_delay=100)
    async with (
        WebSocketBus("supervisor") as endpoint,
        WebSocketBus("asker") as asker,
        Supervisor(tmp_path, script("exit 3", revival=revival)) as supervisor,
        asyncio.TaskGroup() as tasks,
    ):
        port = await endpoint.listen("127.0.0.1", 0)
        serving = tasks.create_task(SupervisorControl(supervisor, endpoint, lambda: None).run())
        asker.subscribe(topics.SUPERVISOR)
        asker.subscribe(topics.NODE_EXITS)
        asker.dial("127.0.0.1", port)
        incoming = asker.events()
        await anext(incoming)
        await supervisor.create(NodeConfig(name="a"))
        heard: list[object] = []
        async with asyncio.timeout(DEADLINE):
            async for received in incoming:
                if isinstance(received, Delivery) and received.topic == topics.NODE_EXITS:
                    heard.append(received.event)
                if heard and isinstance(heard[-1], supervision.NodeFailed):
                    break
        exits = [event for event in heard if isinstance(event, supervision.NodeExitDetail)]
        assert [exit_.code for exit_ in exits] == [3, 3, 3]
        assert [exit_.failed for exit_ in exits] == [False, False, True]
        assert [exit_.restarts for exit_ in exits] == [0, 1, 2]
        assert all(Path(exit_.crash_report).is_dir() for exit_ in exits)
        assert sum(isinstance(event, NotifyNodeExit) for event in heard) == 3
        answer = await asker.request(topics.SUPERVISOR, supervision.DetailsRequest("1"), DEADLINE)
        assert isinstance(answer, supervision.DetailsResponse)
        assert answer.result == supervisor.details()
        assert answer.result["a"].state == "failed"
        assert answer.result["a"].code == 3
        serving.cancel()
