"""Checks of nodes on this host, with real sockets, CPUs and files, and with programs in place of Zeek."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zeekfleet.errors import ConfigurationError, LaunchError
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import LaunchContext
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.node.checks import NodeChecker
from zeekfleet.node.facts import file_capabilities, gather, node_capabilities
from zeekfleet.node.port_owners import owners
from zeekfleet.node.simulator.engine import SimulatorEngine
from zeekfleet.node.zeek.parse import parse
from zeekfleet.planning.checks import Listener, Needs
from zeekfleet.system.cpus import can_pin

Context = Callable[..., LaunchContext]

LISTEN = """
import socket, sys, signal
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener(request: pytest.FixtureRequest):
    """A process that listens on a port, either as a node of some fleet or as another program."""
    made = []

    def start(**environment: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", LISTEN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], **environment},
        )
        made.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in made:
        process.kill()
        process.communicate()


def node(name: str, port: int | None = None, **fields: object) -> NodeConfig:
    row = ClusterEndpoint(ClusterRole.WORKER, Address("127.0.0.1"), NO_PORT, metrics_port=Port(port) if port else None)
    return NodeConfig(name=name, cluster={name: row}, **fields)  # type: ignore[arg-type]


def checker(context: Context) -> NodeChecker:
    return NodeChecker(SimulatorEngine(), lambda config: context(config.name))


async def problems(context: Context, *configs: NodeConfig, present=(), pids=frozenset()) -> list[str]:
    return [str(problem) for problem in await checker(context).check(configs, present, pids)]


async def test_nothing_is_wrong_with_a_plain_node(context: Context) -> None:
    assert await problems(context, node("w", interface="no such interface, but nobody opens it")) == []


async def test_a_port_in_use_is_reported_with_its_owner(context: Context, listener) -> None:
    process, port = listener()
    expected = f"node 'w': metrics port {port}/tcp is in use by process {process.pid} ({Path(sys.executable).name})"
    [told] = await problems(context, node("w", port))
    assert told.startswith(expected[: expected.index("(")])
    # Its own, or one that the deploy replaces.
    assert await problems(context, node("w", port), pids=frozenset({process.pid})) == []
    # A stranger on a port that the cluster has by right is still a stranger.
    assert len(await problems(context, node("w", port), present=[node("w", port)])) == 1


async def test_a_port_of_a_present_node_elsewhere_on_this_host_will_be_free(context: Context, listener) -> None:
    _, port = listener(ZEEKFLEET_LAUNCH="x")
    assert await problems(context, node("w", port), present=[node("other", port)]) == []


async def test_a_node_that_is_about_to_end_is_waited_for(
    context: Context, listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, port = listener(ZEEKFLEET_LAUNCH="x")
    opened = os.pidfd_open

    def end_once_watched(pid: int) -> int:
        descriptor = opened(pid)
        process.send_signal(signal.SIGKILL)
        return descriptor

    monkeypatch.setattr(os, "pidfd_open", end_once_watched)
    assert await problems(context, node("w", port)) == []
    assert process.wait(30) == -signal.SIGKILL


def test_an_agent_does_not_count_as_a_node(listener) -> None:
    process, port = listener(ZEEKFLEET_LAUNCH="x", ZEEK_MANAGEMENT_NODE="AGENT")
    assert owners({port}) == owners({port}, [process.pid])
    assert owners({port})[port].pid == process.pid
    assert not owners({port})[port].is_node


def test_lingering_connections_are_no_obstacle() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()
    facts = gather([Needs("w", listeners=(Listener("port", "127.0.0.1", port),))], frozenset(), None)
    assert facts.ports == {}


def test_an_address_of_another_host_is_not_checked() -> None:
    assert gather([Needs("w", listeners=(Listener("port", "192.0.2.1", 80),))], frozenset(), None).ports == {}


async def test_cpus(context: Context) -> None:
    before = os.sched_getaffinity(0)
    assert await problems(context, node("w", cpu_affinity=min(before))) == []
    assert await problems(context, node("w", cpu_affinity=4095), node("v", cpu_affinity=-1)) == [
        "node 'v': CPU -1 to pin to is offline or absent",
        "node 'w': CPU 4095 to pin to is offline or absent",
    ]
    assert can_pin(min(before))
    assert os.sched_getaffinity(0) == before


async def test_missing_scripts_and_traces_are_reported(context: Context, tmp_path: Path) -> None:
    script = tmp_path / "there.zeek"
    script.touch()
    assert await problems(context, node("w", addl_user_scripts=(str(script), "policy/x", "A::b=/c"))) == []
    missing = f"{tmp_path}/missing.zeek"
    assert await problems(
        context, node("a", addl_user_scripts=(missing,)), node("b", addl_user_scripts=(missing,))
    ) == [f"nodes 'a', 'b': fatal error: can't find {missing}"]
    [told] = await problems(context, node("w", pcap_file="missing.pcap"))
    assert "missing.pcap" in told


async def test_a_missing_engine_is_reported(context: Context) -> None:
    class Missing(SimulatorEngine):
        def prepare(self) -> None:
            raise ConfigurationError("there is no zeek on PATH")

    found = await NodeChecker(Missing(), lambda config: context(config.name)).check([node("w")], (), frozenset())
    assert [str(problem) for problem in found] == ["there is no zeek on PATH"]


async def test_a_check_that_cannot_run_is_reported(context: Context) -> None:
    class Broken(SimulatorEngine):
        async def check(self, config: NodeConfig, _context: LaunchContext, _scratch: Path) -> list[str]:
            if config.name == "a":
                raise LaunchError("a", "it has interface and pcap_file set")
            raise PermissionError(13, "Permission denied")

    checker = NodeChecker(Broken(), lambda config: context(config.name))
    found = await checker.check([node("a"), node("b", env={"X": "1"})], (), frozenset())
    assert [str(problem) for problem in found] == [
        "node 'a': it has interface and pcap_file set",
        "node 'b': its scripts cannot be checked: Permission denied",
    ]


def test_capabilities_of_files_and_processes() -> None:
    effective = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    assert file_capabilities(effective) == 1 << 13
    assert file_capabilities(struct.pack("<IIIII", 0x02000000, 1 << 13, 0, 0, 0)) == 0
    assert file_capabilities(b"") == 0
    assert node_capabilities(None, "CapEff:\t0000000000002000\n") == {"CAP_NET_RAW"}
    assert node_capabilities("/nonexistent", "CapEff:\t0000000000000000\nNoNewPrivs:\t0\n") == frozenset()


async def run(tmp_path: Path, body: str, timeout: float = 60) -> list[str]:
    program = tmp_path / "zeek"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o700)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return await parse([str(program)], {"PATH": os.environ["PATH"]}, scratch, timeout)


async def test_a_parse_that_fails_without_output(tmp_path: Path) -> None:
    assert await run(tmp_path, "exit 3") == ["reading its scripts ended with status 3"]


async def test_a_parse_that_is_killed(tmp_path: Path) -> None:
    assert await run(tmp_path, "kill -SEGV $$") == ["reading its scripts ended with signal 11 (Segmentation fault)"]


async def test_a_parse_that_does_not_end_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    body = f"trap '' TERM; sleep 600 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"
    started = time.monotonic()
    assert await run(tmp_path, body, timeout=1) == ["its scripts were not read within 1 s"]
    assert time.monotonic() - started < 30
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 30
    while _runs(pid):
        assert time.monotonic() < deadline


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
