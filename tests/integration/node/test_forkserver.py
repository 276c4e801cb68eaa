"""Simulated nodes forked from one warm process, spoken to as the stem does."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import LaunchContext, LaunchSpec
from zeekfleet.model.names import MAX_NAME_BYTES
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address
from zeekfleet.model.variables import AGENT_LINK
from zeekfleet.node.sim import SimEngine
from zeekfleet.node.simulator import rehearsal
from zeekfleet.stem import marks
from zeekfleet.stem.spawn import MARK_VARIABLE
from zeekfleet.system import procfs

NODES = 20
TREE = "0123456789abcdef"
LAUNCH = 7
PR_SET_CHILD_SUBREAPER = 36
DEADLINE = 60


class Warm:
    """The stem's side of the contract, one launch at a time."""

    def __init__(self, spec: LaunchSpec) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(DEADLINE)
        mark = marks.of_fork_server(TREE, "1")
        environment = {**spec.env, marks.DESCRIPTOR_VARIABLE: str(theirs.fileno()), MARK_VARIABLE: mark}
        with theirs:
            self.process = subprocess.Popen(spec.forkserver, env=environment, pass_fds=(theirs.fileno(),))
        self.pids: list[int] = []

    def ask(self, packet: bytes) -> dict[str, Any]:
        self._socket.send(packet)
        answer: dict[str, Any] = json.loads(self._socket.recv(65536))
        self.pids += [answer["pid"]] if "pid" in answer else []
        return answer

    def launch(self, spec: LaunchSpec) -> dict[str, Any]:
        fields = ("argv", "env", "directory", "stdout_file", "stderr_file", "cpu_affinity")
        request: dict[str, Any] = {field: getattr(spec, field) for field in fields}
        request["env"] = {**spec.env, MARK_VARIABLE: marks.of_launch(TREE, spec.name, LAUNCH)}
        return self.ask(json.dumps(request).encode())

    def close(self) -> int:
        self._socket.close()
        return self.process.wait(DEADLINE)


@pytest.fixture
def adopting() -> Iterator[None]:
    """Orphans of our children become ours, as they become the stem's."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def spec(link: str, context: Callable[..., LaunchContext]) -> Callable[..., LaunchSpec]:
    engine = SimEngine()

    def spec(name: str, **fields: Any) -> LaunchSpec:
        env = {AGENT_LINK: link, **fields.pop("env", {})}
        return engine.launch(NodeConfig(name=name, env=env, **fields), context(name))

    return spec


@pytest.fixture
async def warm(adopting: None, spec: Callable[..., LaunchSpec]) -> AsyncIterator[Warm]:
    warm = Warm(spec("first"))
    yield warm
    warm.close()
    kill_all(warm.pids)


async def exit_status(pid: int) -> int:
    async with asyncio.timeout(DEADLINE):
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return os.waitstatus_to_exitcode(status)


def private_kibibytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def seen_from_outside(pid: int) -> tuple[str, str, list[str]]:
    """A process' working directory, its name, and what its descriptors point to."""
    process = Path(f"/proc/{pid}")
    links = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
    return str((process / "cwd").readlink()), (process / "comm").read_text(), links


def written(node: LaunchSpec) -> tuple[str, str]:
    return Path(node.stdout_file).read_text(), Path(node.stderr_file).read_text()


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


async def test_twenty_nodes(agent: Any, runner: Any, warm: Warm, spec: Any, record_property: Any) -> None:
    cluster = {
        f"w{number}": ClusterEndpoint(ClusterRole.WORKER, Address("127.0.0.1"), NO_PORT) for number in range(NODES)
    }
    for name in cluster:
        node = spec(name, cluster=cluster)
        runner.prepare(node)
        answer = await asyncio.to_thread(warm.launch, node)
        assert answer == {"pid": warm.pids[-1]}
    await agent.until(lambda: len(agent.hellos) == NODES)
    assert sorted(agent.hellos) == sorted(cluster)
    agent.dispatch("1", "get_id_value", "Cluster::node")
    found = await agent.answers_to("1", NODES)
    assert {name: answer.result.data.data for name, answer in found.items()} == {name: f'"{name}"' for name in cluster}
    memory = sum(private_kibibytes(pid) for pid in warm.pids) / NODES
    record_property("private_kibibytes_per_node", memory)
    print(f"private memory of a simulated node: {memory:.0f} KiB")
    # Far above what is measured, far below the 30 MiB of a process of its own.
    assert memory < 12 * 1024
    for pid in warm.pids:
        assert os.getsid(pid) == pid
        os.kill(pid, signal.SIGTERM)
    assert [await exit_status(pid) for pid in warm.pids] == [0] * NODES


async def test_node_gets_its_own_environment_files_and_directory(
    agent: Any, runner: Any, warm: Warm, spec: Any
) -> None:
    node = spec("w", env={"ZEEKFLEET_SIM_OUTPUT": "hello out", "ZEEKFLEET_SIM_ERRORS": "hello err"}, cpu_affinity=0)
    runner.prepare(node)
    runner.prepare(msgspec.structs.replace(node, files={"stdout": "earlier\n"}))
    pid = warm.launch(node)["pid"]
    await agent.until(lambda: agent.hellos)
    assert os.sched_getaffinity(pid) == {0}
    directory, name, links = seen_from_outside(pid)
    assert directory == node.directory
    assert name == "sim:w\n"
    stdout, stderr = written(node)
    assert stdout.splitlines()[0] == "earlier"
    assert stdout.splitlines()[2:] == ["hello out"]
    assert stderr == "hello err\n"
    # The loop's wake-up pair and the link to the agent are all the sockets a node has.
    assert len([link for link in links if link.startswith("socket:")]) <= 3


@pytest.mark.parametrize("name", ["w", "w" * MAX_NAME_BYTES], ids=["short", "longest"])
async def test_node_shows_its_launch(agent: Any, runner: Any, warm: Warm, spec: Any, name: str) -> None:
    node = spec(name)
    runner.prepare(node)
    pid = warm.launch(node)["pid"]
    await agent.until(lambda: agent.hellos)
    assert marks.read(procfs.variable(pid, MARK_VARIABLE) or "") == marks.Mark(TREE, name, LAUNCH)
    assert procfs.variable(warm.process.pid, MARK_VARIABLE) == marks.of_fork_server(TREE, "1")
    assert "HOME" not in node.env or procfs.variable(pid, "HOME") == node.env["HOME"]


async def test_a_crash_is_the_nodes_own(agent: Any, runner: Any, warm: Warm, spec: Any) -> None:
    for name, env in (("bad", {"ZEEKFLEET_SIM_FAIL_AT_START": "3"}), ("good", {})):
        node = spec(name, env=env)
        runner.prepare(node)
        warm.launch(node)
    assert await exit_status(warm.pids[0]) == 3
    await agent.until(lambda: agent.hellos)
    assert agent.hellos == ["good"]
    assert warm.process.poll() is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"directory": "/no/such/place"}, "No such file or directory: /no/such/place"),
        ({"stdout_file": "/no/such/place/stdout"}, "No such file or directory: /no/such/place/stdout"),
        ({"cpu_affinity": 4095}, "CPU 4095 to pin to is offline or absent"),
    ],
    ids=["directory", "file", "cpu"],
)
async def test_refusals_are_told(runner: Any, warm: Warm, spec: Any, changes: dict[str, Any], error: str) -> None:
    node = spec("w")
    runner.prepare(node)
    fields = ("argv", "env", "directory", "stdout_file", "stderr_file", "cpu_affinity")
    request = {field: getattr(node, field) for field in fields} | changes
    assert warm.ask(json.dumps(request).encode()) == {"error": error}
    assert warm.pids == []


async def test_a_bad_request_does_not_end_it(agent: Any, runner: Any, warm: Warm, spec: Any) -> None:
    assert "no launch request" in warm.ask(b"{")["error"]
    node = spec("w")
    runner.prepare(node)
    warm.launch(node)
    await agent.until(lambda: agent.hellos)


async def test_nodes_outlive_it(agent: Any, runner: Any, warm: Warm, spec: Any) -> None:
    node = spec("w")
    runner.prepare(node)
    warm.launch(node)
    await agent.until(lambda: agent.hellos)
    assert warm.close() == 0
    agent.dispatch("1", "get_id_value", "bits_per_uid")
    await agent.answers_to("1", 1)


def test_every_rehearsed_life_answers_its_dispatch() -> None:
    assert rehearsal.rehearse(2) == 2
