"""Processes as they are started: side by side without mix-ups, and limited from the first instruction on."""

# Files of processes tell nobody when they change, and the loop has nothing else to do.

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from support.waiting import async_until
from zeekfleet.model.launch import Resources, RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.stem.spawn import Program, Spawn
from zeekfleet.stem.spawn_pool import SpawnPool
from zeekfleet.supervisor import CommandEngine, NodeExit, Supervisor, places
from zeekfleet.system import procfs

DEADLINE = 30.0
MANY = 60
ONCE = RevivalSettings(enabled=False)


async def ends_of(supervisor: Supervisor, count: int, create: Callable[[], object]) -> dict[str, NodeExit]:
    """The ends of nodes that end by themselves, once ``create`` has been awaited."""
    ends: dict[str, NodeExit] = {}
    enough = asyncio.Event()

    def ended(exit_: NodeExit) -> None:
        ends[exit_.node] = exit_
        if len(ends) >= count:
            enough.set()

    supervisor.on_node_exit(ended)
    await create()  # type: ignore[misc]
    async with asyncio.timeout(DEADLINE):
        await enough.wait()
    return ends


async def become(state: Path, expected: set[int | None]) -> None:
    """Wait until just these processes carry the tree's mark: the kernel shows one a moment after its execution only."""
    tree = (state / "stem" / "tree").read_text().strip()
    await async_until(lambda: {pid for pid, _ in procfs.processes_with("ZEEKFLEET_LAUNCH", f"{tree}:")} == expected)


def configs(count: int = MANY) -> list[NodeConfig]:
    return [NodeConfig(name=f"n{number}", env={"OWN": str(number)}) for number in range(count)]


async def test_many_that_start_together_are_not_mixed_up(tmp_path: Path) -> None:
    engine = CommandEngine(["sh", "-c", 'echo "$$ $OWN $PWD"; echo "$OWN" >&2; exec sleep 1000'])
    async with Supervisor(tmp_path, engine) as supervisor:
        started: dict[str, int] = {}
        supervisor.on_node_status(started.__setitem__)
        assert not any((await supervisor.create_all(configs())).values())
        for number, config in enumerate(configs()):
            details = supervisor.details(config.name)[config.name]
            directory = tmp_path / "nodes" / config.name
            errors = directory / "stderr"
            await async_until(lambda errors=errors: errors.read_text().endswith("\n"))
            assert (directory / "stdout").read_text() == f"{details.pid} {number} {directory}\n"
            assert (directory / "stderr").read_text() == f"{number}\n"
            assert started[config.name] == details.pid
            assert details.pid is not None
            assert os.getsid(details.pid) == details.pid
        journal = (tmp_path / "stem" / "processes").read_text()
        for name, pid in started.items():
            assert f'"name":"{name}","pid":{pid},"start_time":{procfs.start_time(pid)}' in journal
        assert await supervisor.destroy()
        assert not any(psutil.pid_exists(pid) for pid in started.values())


async def test_many_that_end_at_once_are_all_told_with_their_own_codes(tmp_path: Path) -> None:
    engine = CommandEngine(["sh", "-c", "exit $OWN"], revival=ONCE)
    async with Supervisor(tmp_path, engine) as supervisor:
        ends = await ends_of(supervisor, MANY, lambda: supervisor.create_all(configs()))
        assert [ends[f"n{number}"].code for number in range(MANY)] == list(range(MANY))


async def test_those_of_many_that_cannot_start_are_told_and_the_others_run(tmp_path: Path) -> None:
    class Half(CommandEngine):
        def launch(self, config: NodeConfig, context: object) -> object:  # type: ignore[override]
            self._argv = ("sleep", "1000") if int(config.env["OWN"]) % 2 else ("/no/such/program",)
            return super().launch(config, context)  # type: ignore[arg-type]

    async with Supervisor(tmp_path, Half(["sleep"], revival=ONCE)) as supervisor:
        ends = await ends_of(supervisor, MANY // 2, lambda: supervisor.create_all(configs()))
        assert {ends[f"n{number}"].outputs.stderr for number in range(0, MANY, 2)} == {
            "No such file or directory: /no/such/program"
        }
        assert all(details.state == "running" for name, details in supervisor.details().items() if name not in ends)


async def test_what_those_that_started_together_leave_behind_is_gone_with_them(tmp_path: Path) -> None:
    # It leaves session and group, and its parent is gone: the orphan comes to the stem.
    engine = CommandEngine(["sh", "-c", "(setsid sh -c 'echo $$; exec sleep 1000' &); exec sleep 1000"])
    async with Supervisor(tmp_path, engine) as supervisor:
        assert not any((await supervisor.create_all(configs(10))).values())
        files = [tmp_path / "nodes" / config.name / "stdout" for config in configs(10)]
        await async_until(lambda: all(file.read_text().endswith("\n") for file in files))
        orphans = [int(file.read_text()) for file in files]
        assert all(psutil.pid_exists(pid) for pid in orphans)
        assert await supervisor.destroy()
        assert not any(psutil.pid_exists(pid) for pid in orphans)


async def test_a_stem_that_is_killed_amid_a_start_runs_each_node_once(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, CommandEngine(["sleep", "1000"])) as supervisor:
        killed = asyncio.Event()

        def kill_stem(_name: str, pid: int) -> None:
            parent = psutil.Process(pid).parent()
            if not killed.is_set() and parent is not None and "zeekfleet.stem" in parent.cmdline():
                killed.set()
                parent.kill()

        supervisor.on_node_status(kill_stem)
        outcomes = await supervisor.create_all(configs())
        assert killed.is_set()
        assert not any(outcomes.values())
        running = {details.pid for details in supervisor.details().values() if details.state == "running"}
        assert len(running) == MANY
        await become(tmp_path, running)


async def test_a_stem_that_is_killed_amid_a_stop_forgets_whom_it_should_and_nobody_else(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, CommandEngine(["sleep", "1000"])) as supervisor:
        assert not any((await supervisor.create_all(configs())).values())
        stem = psutil.Process(supervisor.details("n0")["n0"].pid).parent()
        assert stem is not None
        kept = {details.pid for name, details in supervisor.details().items() if int(name[1:]) % 2}
        ends: list[NodeExit] = []

        def ended(exit_: NodeExit) -> None:
            if not ends:
                stem.kill()
            ends.append(exit_)

        supervisor.on_node_exit(ended)
        assert await supervisor.destroy_all([f"n{number}" for number in range(0, MANY, 2)])
        assert ends
        assert {details.pid for details in supervisor.details().values() if details.state == "running"} == kept
        await become(tmp_path, kept)


# --- limits


LIMITS = """
import os, resource
print(resource.getrlimit(resource.RLIMIT_DATA), resource.getrlimit(resource.RLIMIT_NOFILE),
      resource.getrlimit(resource.RLIMIT_CORE), os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)))
"""


@pytest.mark.parametrize("cgroup", [False, True])
async def test_a_program_that_looks_at_once_finds_its_limits(tmp_path: Path, cgroup: bool) -> None:
    cpu = max(os.sched_getaffinity(0))
    memory, files, core = 200 * 2**20, 50, 0
    limits = Resources(cpus=(cpu,), nice=3, memory=memory, open_files=files, core=core, cgroup=cgroup)
    command = [sys.executable, "-I", "-S", "-c", LIMITS]
    async with Supervisor(tmp_path, CommandEngine(command, revival=ONCE, resources=limits)) as supervisor:
        ends = await ends_of(supervisor, 1, lambda: supervisor.create(NodeConfig(name="a")))
        told = supervisor.details("a")["a"].resources
        by_group = "control group" in told["memory"]
        data = resource.getrlimit(resource.RLIMIT_DATA) if by_group else (memory, memory)
        assert ends["a"].outputs.stdout == f"{data} {(files, files)} {(core, core)} 3 [{cpu}]"
        assert (told["cpus"], told["nice"], told["open_files"]) == (str(cpu), "3", str(files))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that tells the stem of limits that it would refuse."""
    monkeypatch.setattr(places, "problem_with_launch", lambda _: "")


@pytest.mark.usefixtures("unchecked")
async def test_limits_hold_before_the_programs_first_instruction(tmp_path: Path) -> None:
    # Its libraries are opened before that: with three descriptors taken, and no more allowed, none can be.
    engine = CommandEngine(["sleep", "1000"], revival=ONCE, resources=Resources(open_files=3))
    async with Supervisor(tmp_path, engine) as supervisor:
        ends = await ends_of(supervisor, 20, lambda: supervisor.create_all(configs(20)))
        assert {end.code for end in ends.values()} == {127}
        assert all("open shared object file" in end.outputs.stderr for end in ends.values())


@pytest.mark.usefixtures("unchecked")
async def test_a_limit_that_is_refused_is_told_and_hinders_nobody(tmp_path: Path) -> None:
    engine = CommandEngine(["sleep", "1000"], resources=Resources(open_files=-7, nice=4))
    async with Supervisor(tmp_path, engine) as supervisor:
        await supervisor.create(NodeConfig(name="a"))
        details = supervisor.details("a")["a"]
        assert details.state == "running"
        assert details.resources["open_files"].startswith("refused: ")
        assert psutil.Process(details.pid).nice() == 4


async def test_a_limited_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    engine = CommandEngine(["/no/such/program"], revival=ONCE, resources=Resources(nice=1))
    async with Supervisor(tmp_path, engine) as supervisor:
        ends = await ends_of(supervisor, 1, lambda: supervisor.create(NodeConfig(name="a")))
        assert ends["a"].outputs.stderr == "No such file or directory: /no/such/program"


# --- spawns by themselves


def test_start_times_by_the_clock_are_the_kernels(tmp_path: Path) -> None:
    pool, spawns = SpawnPool(), []
    env = {"PATH": os.environ["PATH"]}
    with pool.together():
        for _ in range(50):
            program = Program("/bin/sleep", ["sleep", "1000"], env, str(tmp_path), {1: 2, 2: 2})
            pool.start(Spawn(program), spawns.append)
    try:
        assert len({spawn.pid for spawn in spawns}) == 50
        assert [spawn.start_time for spawn in spawns] == [procfs.start_time(spawn.pid) for spawn in spawns]
    finally:
        for spawn in spawns:
            os.kill(spawn.pid, signal.SIGKILL)
            os.waitpid(spawn.pid, 0)


@pytest.mark.parametrize(
    ("program", "directory", "reason"),
    [
        ("/no/such/program", "/", "/no/such/program"),
        ("/bin/sleep", "/no/such/directory", "/no/such/directory"),
        ("/etc/passwd", "/", "/etc/passwd"),
    ],
)
def test_why_a_start_failed(program: str, directory: str, reason: str) -> None:
    spawn = Spawn(Program(program, ["x"], {}, directory, {1: 2, 2: 2}))
    spawn.run()
    assert isinstance(spawn.problem, OSError)
    assert spawn.problem.filename == reason


def test_a_text_with_a_nul_is_refused() -> None:
    for program, argv, env in (("a\0b", ["a"], {}), ("a", ["a\0b"], {}), ("a", ["a"], {"A": "a\0b"})):
        with pytest.raises(ValueError, match="null"):
            Spawn(Program(program, argv, env, "/", {}))
