"""The Supervisor over real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.daemons import alive, command_of
from support.waiting import News
from zeekfleet.model.launch import RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import NODE_CONFIG
from zeekfleet.stem import sockets
from zeekfleet.supervisor import CommandEngine, NodeExit, Supervisor, identity, is_supervisor

DEADLINE = 30.0
SLEEP = CommandEngine(["sleep", "1000"])
EAGER = RevivalSettings(initial_delay=0.01, max_delay=0.05, loop_limit=1000)


def script(text: str, **options: object) -> CommandEngine:
    return CommandEngine(["sh", "-c", text], **options)  # type: ignore[arg-type]


class Seen(News):
    """All that a Supervisor tells, and a way to wait for what it will tell."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__()
        self.starts: list[tuple[str, int]] = []
        self.exits: list[NodeExit] = []
        self.stdout: list[tuple[str, str]] = []
        self.stderr: list[tuple[str, str]] = []
        supervisor.on_node_status(lambda node, pid: self._note(self.starts, (node, pid)))
        supervisor.on_node_exit(lambda exit_: self._note(self.exits, exit_))

    def _note(self, where: list, what: object) -> bool:  # type: ignore[type-arg]
        where.append(what)
        self.notify()
        return True

    def hook(self, supervisor: Supervisor) -> None:
        supervisor.stdout_hook(lambda node, line: self._note(self.stdout, (node, line)))
        supervisor.stderr_hook(lambda node, line: self._note(self.stderr, (node, line)))


async def gone(*pids: int) -> None:
    """Wait until processes that are not our children have ended."""
    loop = asyncio.get_running_loop()
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(DEADLINE):
                await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.status(name).nodes[name].pid
    assert pid is not None
    return pid


def descriptors_of(pid: int) -> list[int]:
    return sorted(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())


def signal_masks_of(pid: int) -> dict[str, int]:
    fields = Path(f"/proc/{pid}/status").read_text().split()
    # 32 and 33 are the C library's own: whatever posix_spawn starts finds them ignored, until it makes threads.
    own = 1 << 31 | 1 << 32
    return {name: int(fields[fields.index(name) + 1], 16) & ~own for name in ("SigBlk:", "SigIgn:")}


def stem_of(supervisor: Supervisor, name: str) -> psutil.Process:
    parent = psutil.Process(pid_of(supervisor, name)).parent()
    assert parent is not None
    return parent


async def test_create_status_restart_destroy(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        assert is_supervisor()
        assert supervisor.status().nodes == {}
        config = NodeConfig(name="a", env={"X": "1"})
        assert await supervisor.create(config) == ""
        assert await supervisor.create(config) == "node with name 'a' already exists"
        assert await supervisor.create(NodeConfig(name="b")) == ""
        first = pid_of(supervisor, "a")
        other = pid_of(supervisor, "b")
        assert command_of(first) == ["sleep", "1000"]
        assert supervisor.status("a").nodes["a"].node == config
        assert supervisor.status("nosuch").nodes == {}
        assert await supervisor.restart("a")
        assert pid_of(supervisor, "a") != first
        assert not psutil.pid_exists(first)
        assert pid_of(supervisor, "b") == other
        assert not await supervisor.restart("nosuch")
        assert not await supervisor.destroy("nosuch")
        assert await supervisor.destroy("a")
        assert list(supervisor.status().nodes) == ["b"]
        assert await supervisor.restart()
        assert pid_of(supervisor, "b") != other
        assert await supervisor.create(config) == ""
        assert await supervisor.destroy()
        assert supervisor.status().nodes == {}
    assert not is_supervisor()


async def test_a_crashed_node_is_revived_and_told(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        seen = Seen(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        first = pid_of(supervisor, "a")
        os.kill(first, signal.SIGKILL)
        await seen.until(lambda: len(seen.starts) == 2)
        second = pid_of(supervisor, "a")
        assert second != first
        assert psutil.pid_exists(second)
        assert seen.starts == [("a", first), ("a", second)]
        assert (seen.exits[0].pid, seen.exits[0].signal, seen.exits[0].revive_in) == (first, 9, 0.0)
        assert not seen.exits[0].requested
        assert str(seen.exits[0]) == "was killed by SIGKILL"


async def test_a_crash_loop_ends_in_failed_and_siblings_do_not_notice(tmp_path: Path) -> None:
    revival = RevivalSettings(initial_delay=0.01, max_delay=0.02, loop_limit=4)
    async with Supervisor(tmp_path, script("exit 3", revival=revival)) as supervisor:
        seen = Seen(supervisor)
        await supervisor.create(NodeConfig(name="sibling"), SLEEP)
        sibling = pid_of(supervisor, "sibling")
        await supervisor.create(NodeConfig(name="a"))
        await seen.until(lambda: seen.exits and seen.exits[-1].failed)
        assert [exit_.code for exit_ in seen.exits] == [3] * 5
        assert seen.exits[-1].revive_in is not None
        assert seen.exits[-1].revive_in > 50
        assert pid_of(supervisor, "sibling") == sibling
        assert psutil.pid_exists(sibling)


async def test_fifty_that_take_a_while_stop_in_parallel(tmp_path: Path) -> None:
    slow = CommandEngine(
        [
            sys.executable,
            "-S",
            "-c",
            "import signal,time,os\n"
            "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), os._exit(0)))\n"
            "print('up', flush=True)\n"
            "while True: signal.pause()\n",
        ]
    )
    async with Supervisor(tmp_path, slow) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        names = [f"n{number}" for number in range(50)]
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(supervisor.create(NodeConfig(name=name)))
        await seen.until(lambda: len(seen.stdout) == 50)
        began = time.monotonic()
        assert await supervisor.destroy()
        took = time.monotonic() - began
        # One after the other would take ten seconds.
        assert 0.2 <= took < 4
        assert all(exit_.code == 0 and exit_.requested for exit_ in seen.exits)


async def test_one_that_ignores_sigterm_costs_its_own_grace_only(tmp_path: Path) -> None:
    stubborn = script("trap '' TERM; echo up; while :; do sleep 1000; done", grace=0.7)
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        for name in ("s1", "s2"):
            await supervisor.create(NodeConfig(name=name), stubborn)
        for name in ("a", "b"):
            await supervisor.create(NodeConfig(name=name))
        await seen.until(lambda: len(seen.stdout) == 2)
        began = time.monotonic()
        assert await supervisor.destroy()
        assert 0.7 <= time.monotonic() - began < 5
        assert {exit_.node: exit_.signal for exit_ in seen.exits} == {"a": 15, "b": 15, "s1": 9, "s2": 9}
        assert {exit_.node for exit_ in seen.exits[:2]} == {"a", "b"}


async def test_no_grandchild_survives_not_even_in_a_session_of_its_own(tmp_path: Path) -> None:
    family = script(
        "sleep 1001 & echo $!; setsid sh -c 'echo $$; exec sleep 1002' & "
        "(setsid sh -c 'trap \"\" TERM; echo $$; sleep 1003 & echo $!; wait' &) & wait; sleep 1000"
    )
    async with Supervisor(tmp_path, family) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await seen.until(lambda: len(seen.stdout) == 4)
        pids = [int(line) for _, line in seen.stdout]
        assert all(psutil.pid_exists(pid) for pid in pids)
        assert await supervisor.destroy("a")
        assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_what_a_crashed_node_leaves_is_gone_before_its_replacement_starts(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, script("sleep 1001 & echo $!; wait")) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await seen.until(lambda: len(seen.stdout) == 1)
        os.kill(pid_of(supervisor, "a"), signal.SIGKILL)
        await seen.until(lambda: len(seen.starts) == 2)
        assert not psutil.pid_exists(int(seen.stdout[0][1]))


async def test_a_second_supervisor_finds_the_nodes(tmp_path: Path) -> None:
    config = NodeConfig(name="a", env={"A": "1"})
    async with Supervisor(tmp_path, SLEEP, on_exit="keep") as first:
        await first.create(config)
        await first.create(NodeConfig(name="b"))
        pids = {name: pid_of(first, name) for name in ("a", "b")}
        stem = stem_of(first, "a").pid
    assert all(psutil.pid_exists(pid) for pid in pids.values())
    # While nobody is there, one crashes.
    os.kill(pids["b"], signal.SIGKILL)
    await gone(pids["b"])
    supervisor = Supervisor(tmp_path, SLEEP)
    seen = Seen(supervisor)
    async with supervisor:
        assert pid_of(supervisor, "a") == pids["a"]
        assert stem_of(supervisor, "a").pid == stem
        assert supervisor.status("a").nodes["a"].node == config
        assert supervisor.is_launched_as(config)
        assert not supervisor.is_launched_as(NodeConfig(name="a"))
        await seen.until(lambda: ("b", pid_of(supervisor, "b")) in seen.starts and seen.exits)
        assert (seen.exits[0].node, seen.exits[0].signal) == ("b", 9)
        assert pid_of(supervisor, "b") != pids["b"]


async def test_nodes_outlive_a_killed_stem_and_are_watched_again(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        seen = Seen(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await supervisor.create(NodeConfig(name="b"))
        a, b = pid_of(supervisor, "a"), pid_of(supervisor, "b")
        stem_of(supervisor, "a").kill()
        assert await supervisor.create(NodeConfig(name="a")) == "node with name 'a' already exists"
        assert await supervisor.restart("b")
        assert pid_of(supervisor, "a") == a
        assert psutil.pid_exists(a)
        assert not alive(b)
        os.kill(a, signal.SIGKILL)
        await seen.until(lambda: [exit_ for exit_ in seen.exits if exit_.node == "a"])
        report = next(exit_ for exit_ in seen.exits if exit_.node == "a")
        # Its own parent is gone; kernels before 6.15 tell nobody else how it ended.
        assert (report.pid, report.code, report.signal) in ((a, None, signal.SIGKILL), (a, None, None))
        await seen.until(lambda: pid_of(supervisor, "a") != a)
        assert await supervisor.destroy()
        assert len({pid for name, pid in seen.starts if name == "a"}) == 2


async def test_burst_of_lines(tmp_path: Path) -> None:
    burst = script("seq 1 50000; echo oops >&2; exit 7", revival=RevivalSettings(enabled=False))
    async with Supervisor(tmp_path, burst) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await seen.until(lambda: seen.exits)
        expected = [str(number) for number in range(1, 50001)]
        assert (tmp_path / "nodes/a/stdout").read_text().split() == expected
        assert seen.exits[0].outputs.stdout.split("\n") == expected[-100:]
        assert seen.exits[0].outputs.stderr == "oops"
        assert seen.exits[0].code == 7
        assert [line for _, line in seen.stdout] == expected
        assert seen.stderr == [("a", "oops")]


async def test_exit_report_holds_only_what_came_since_that_start(tmp_path: Path) -> None:
    engine = script("echo $$; [ -e again ] && exec sleep 1000; touch again; exit 1")
    async with Supervisor(tmp_path, engine, report_lines=5) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await seen.until(lambda: len(seen.stdout) == 2)
        assert await supervisor.restart("a")
        await seen.until(lambda: len(seen.exits) == 2)
        assert [exit_.outputs.stdout for exit_ in seen.exits] == [str(pid) for _, pid in seen.starts[:2]]


async def test_echo_and_hooks_that_suppress_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engine = script("printf bad >&2; echo secret; echo hello; exec sleep 1000")
    async with Supervisor(tmp_path, engine, echo=True) as supervisor:
        seen = Seen(supervisor)

        @supervisor.stdout_hook
        def hook(node: str, line: str) -> bool:
            if line == "broken":
                raise RuntimeError
            return line != "secret"

        seen.hook(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await seen.until(lambda: len(seen.stdout) == 2)
        assert await supervisor.destroy("a")
        assert seen.stderr == [("a", "bad")]
    output = capfd.readouterr()
    assert output.out == "[a] hello\n"
    assert "[a] bad\n" in output.err


async def test_output_without_newlines_does_not_fill_memory(tmp_path: Path) -> None:
    engine = script("head -c 200000000 /dev/zero; echo; echo end; exec sleep 1000")
    async with Supervisor(tmp_path, engine) as supervisor:
        longest = 0
        total = 0
        ended = asyncio.Event()

        @supervisor.stdout_hook
        def hook(_node: str, line: str) -> bool:
            nonlocal longest, total
            longest, total = max(longest, len(line)), total + len(line)
            if line == "end":
                ended.set()
            return True

        before = psutil.Process().memory_info().rss
        await supervisor.create(NodeConfig(name="a"))
        async with asyncio.timeout(DEADLINE):
            await ended.wait()
        assert psutil.Process().memory_info().rss - before < 50_000_000
        assert total == 200000000 + len("end")
        assert longest <= 64 * 1024


async def test_missing_program_and_recovery(tmp_path: Path) -> None:
    program = tmp_path / "program"
    engine = CommandEngine([str(program)], revival=EAGER)
    async with Supervisor(tmp_path / "state", engine) as supervisor:
        seen = Seen(supervisor)
        assert await supervisor.create(NodeConfig(name="a")) == ""
        assert supervisor.status("a").nodes["a"].pid is None
        await seen.until(lambda: len(seen.exits) >= 3)
        assert str(seen.exits[0]) == f"could not be started: No such file or directory: {program}"
        assert not await supervisor.restart("a")
        program.write_text("#!/bin/sh\nexec sleep 1000\n")
        program.chmod(0o700)
        await seen.until(lambda: seen.starts)
        assert psutil.pid_exists(pid_of(supervisor, "a"))
        assert await supervisor.destroy("a")


async def test_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    directory = str(tmp_path / "file" / "below")
    async with Supervisor(tmp_path / "state", SLEEP) as supervisor:
        text = await supervisor.create(NodeConfig(name="a", directory=directory))
        assert text == f"failed to create working directory {directory}"
        assert supervisor.status().nodes == {}
        text = await supervisor.create(NodeConfig(name="b", stdout_file=directory))
        assert text == ""
        assert supervisor.status("b").nodes["b"].pid is None


async def test_every_field_that_any_program_has_takes_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = script('echo "$A,$BASE,$PWD"; echo wrong >&2; umask; sleep 1000 & wait')
    directory = tmp_path / "own"
    cpu = max(os.sched_getaffinity(0))
    config = NodeConfig(
        name="a",
        env={"A": "1"},
        directory=str(directory),
        stdout_file="logs/out",
        stderr_file=str(tmp_path / "err"),
        cpu_affinity=cpu,
    )
    environment = {"PATH": os.environ["PATH"], "BASE": "2"}
    async with Supervisor(tmp_path / "state", engine, environment=environment) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        assert await supervisor.create(config) == ""
        await seen.until(lambda: len(seen.stdout) == 2 and seen.stderr)
        process = psutil.Process(pid_of(supervisor, "a"))
        assert (directory / "logs/out").read_text().split("\n")[0] == f"1,2,{directory}"
        assert (tmp_path / "err").read_text() == "wrong\n"
        assert (directory / "logs/out").stat().st_mode & 0o777 == 0o600
        assert process.cpu_affinity() == [cpu]
        assert os.sched_getaffinity(process.ppid()) == os.sched_getaffinity(0)
        assert os.getsid(process.pid) == process.pid
        assert descriptors_of(process.pid) == [0, 1, 2]
        assert signal_masks_of(process.pid) == {"SigBlk:": 0, "SigIgn:": 0}
        told = process.environ()[NODE_CONFIG]
        assert os.stat(told).st_mode & 0o777 == 0o600  # noqa: PTH116
        monkeypatch.setenv(NODE_CONFIG, told)
        assert identity.node() == config
        assert await supervisor.destroy()


async def test_a_cpu_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, SLEEP) as supervisor:
        seen = Seen(supervisor)
        assert await supervisor.create(NodeConfig(name="a", cpu_affinity=100000)) == ""
        await seen.until(lambda: seen.exits)
        assert "CPU 100000" in str(seen.exits[0])


async def test_stem_is_small_and_nothing_is_left_after_shutdown(tmp_path: Path) -> None:
    # Longer than an address of a Unix socket may be.
    state = tmp_path / ("long" * 30) / "state"
    async with Supervisor(state, SLEEP) as supervisor:
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(supervisor.create(NodeConfig(name=f"n{number}")))
        pids = [node.pid for node in supervisor.status().nodes.values()]
        stem = stem_of(supervisor, "n0")
        assert stem.memory_info().rss < 25 * 1024 * 1024
        assert (state / sockets.SOCKET_NAME).stat().st_mode & 0o777 == 0o600
        assert state.stat().st_mode & 0o777 == 0o700
    assert not any(psutil.pid_exists(pid) for pid in [*pids, stem.pid] if pid)
    assert not (state / sockets.SOCKET_NAME).exists()
    assert list((state / "stem").iterdir()) == []


async def test_stop_order(tmp_path: Path) -> None:
    from zeekfleet.model.enums import ClusterRole
    from zeekfleet.model.supervisor import ClusterEndpoint
    from zeekfleet.model.types import NO_PORT, Address

    roles = {"l": ClusterRole.LOGGER, "m": ClusterRole.MANAGER, "p": ClusterRole.PROXY, "w": ClusterRole.WORKER}
    cluster = {name: ClusterEndpoint(role, Address("127.0.0.1"), NO_PORT) for name, role in roles.items()}
    last_words = f"trap 'echo $NAME >> {tmp_path}/order; exit' TERM; echo up; while :; do sleep 1000 & wait; done"
    async with Supervisor(tmp_path / "state", script(last_words)) as supervisor:
        seen = Seen(supervisor)
        seen.hook(supervisor)
        for name in ("m", "w", "l", "p"):
            await supervisor.create(NodeConfig(name=name, cluster=cluster, env={"NAME": name}))
        argv = ["sh", "-c", last_words]
        await supervisor.create_process(NodeConfig(name="agent", env={"NAME": "agent"}), argv)
        await seen.until(lambda: len(seen.stdout) == 5)
        assert command_of(pid_of(supervisor, "agent")) == argv
        await supervisor.shutdown()
        assert {exit_.node for exit_ in seen.exits} == {"agent", "w", "p", "m", "l"}
    assert (tmp_path / "order").read_text().split() == ["agent", "w", "p", "m", "l"]
