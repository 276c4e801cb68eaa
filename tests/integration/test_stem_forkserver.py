"""Nodes forked from a warm process, and what happens when that ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from zeekfleet.model.launch import LaunchContext, LaunchSpec, RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import NodeExit, Supervisor

DEADLINE = 30.0
PROGRAM = (sys.executable, str(Path(__file__).with_name("forkserver_for_tests.py")))
EAGER = RevivalSettings(initial_delay=0.01, max_delay=0.02, loop_limit=1000)


class Forked:
    """Nodes do what their first script says."""

    name = "forked"

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        return LaunchSpec(
            name=config.name,
            argv=config.addl_user_scripts or ("sleep",),
            env={**context.environment, **config.env},
            directory=context.directory,
            stdout_file=context.stdout_file,
            stderr_file=context.stderr_file,
            cpu_affinity=config.cpu_affinity,
            forkserver=PROGRAM,
            revival=EAGER,
        )


class Seen:
    def __init__(self, supervisor: Supervisor) -> None:
        self.exits: list[NodeExit] = []
        self.lines: list[str] = []
        self._news = asyncio.Event()
        supervisor.on_node_exit(lambda exit_: self._note(self.exits, exit_))
        supervisor.stdout_hook(lambda _, line: self._note(self.lines, line))

    def _note(self, where: list, what: object) -> bool:  # type: ignore[type-arg]
        where.append(what)
        self._news.set()
        return True

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._news.clear()
                await self._news.wait()


def warm_process(node: int) -> psutil.Process:
    """The child of the stem that lives in the root directory; nodes have directories of their own."""
    stem = psutil.Process(node).parent()
    assert stem is not None
    return next(child for child in stem.children() if child.cwd() == "/")


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.status(name).nodes[name].pid
    assert pid is not None
    return pid


async def test_forked_nodes_live_as_others_do(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    async with Supervisor(tmp_path, Forked()) as supervisor:
        seen = Seen(supervisor)
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                config = NodeConfig(name=f"n{number}", env={"A": "1"}, cpu_affinity=cpu)
                tasks.create_task(supervisor.create(config))
        pid = pid_of(supervisor, "n7")
        warm = warm_process(pid)
        await seen.until(lambda: f"{pid} 1 {tmp_path}/nodes/n7" in seen.lines)
        assert psutil.Process(pid).ppid() == warm.ppid()
        assert psutil.Process(pid).cpu_affinity() == [cpu]
        os.kill(pid, signal.SIGSEGV)
        await seen.until(lambda: seen.exits)
        assert (seen.exits[0].pid, seen.exits[0].signal) == (pid, signal.SIGSEGV)
        await seen.until(lambda: len(seen.lines) == 21)
        assert await supervisor.restart("n3")
        assert await supervisor.destroy()
        assert not any(psutil.pid_exists(int(line.split()[0])) for line in seen.lines)
    assert not warm.is_running()


async def test_exit_code_of_one_that_ends_at_once(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, Forked()) as supervisor:
        seen = Seen(supervisor)
        assert await supervisor.create(NodeConfig(name="a", addl_user_scripts=("exit", "3"))) == ""
        await seen.until(lambda: len(seen.exits) >= 5)
        assert {exit_.code for exit_ in seen.exits} == {3}


async def test_the_end_of_the_warm_process_touches_no_node(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, Forked()) as supervisor:
        seen = Seen(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        pid = pid_of(supervisor, "a")
        warm_process(pid).kill()
        assert await supervisor.create(NodeConfig(name="dying", addl_user_scripts=("die",))) == ""
        await seen.until(lambda: len(seen.exits) >= 2)
        assert "fork server" in str(seen.exits[0])
        assert await supervisor.destroy("dying")
        assert await supervisor.create(NodeConfig(name="b")) == ""
        assert await supervisor.restart("b")
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        assert pid_of(supervisor, "a") == pid


async def test_a_node_forked_but_never_told_does_not_run_beside_its_successor(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, Forked()) as supervisor:
        seen = Seen(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await supervisor.create(NodeConfig(name="b", addl_user_scripts=("lost",)))
        await seen.until(lambda: len(seen.exits) >= 3)
        assert await supervisor.destroy("b")
        assert psutil.pid_exists(pid_of(supervisor, "a"))
        output = (tmp_path / "nodes/b/stdout").read_text().splitlines()
        lost = [int(line.split()[0]) for line in output if line.endswith(" lost")]
        assert len(lost) >= 3
    assert not any(psutil.pid_exists(pid) for pid in lost)


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, Forked()) as supervisor:
        seen = Seen(supervisor)
        assert await supervisor.create(NodeConfig(name="a", addl_user_scripts=("refuse",))) == ""
        await seen.until(lambda: seen.exits)
        assert str(seen.exits[0]) == "could not be started: refused"


async def test_a_warm_process_that_cannot_start(tmp_path: Path) -> None:
    class Missing(Forked):
        def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
            spec = super().launch(config, context)
            return msgspec.structs.replace(spec, forkserver=("/no",))

    async with Supervisor(tmp_path, Missing()) as supervisor:
        seen = Seen(supervisor)
        assert await supervisor.create(NodeConfig(name="a")) == ""
        await seen.until(lambda: seen.exits)
        assert "fork server: No such file or directory: /no" in str(seen.exits[0])
