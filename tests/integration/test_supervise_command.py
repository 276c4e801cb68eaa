"""``zeekfleet supervise`` as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from support.daemons import Daemon, command_of
from zeekfleet.broker import topics
from zeekfleet.broker.events.supervisor import (
    CreateRequest,
    CreateResponse,
    DestroyRequest,
    DestroyResponse,
    StatusRequest,
    StatusResponse,
    StopRequest,
)
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.transport.bus import PeerAdded
from zeekfleet.transport.websocket import WebSocketBus

PROGRAM = [sys.executable, "-c", "import sys; from zeekfleet.cli.main import main; sys.exit(main())", "supervise"]
DEADLINE = 30


@contextmanager
def supervising(file: Path, state: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*PROGRAM, str(file), "--state-dir", str(state)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready: "), line
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=DEADLINE)


def pids(state: Path) -> dict[str, int]:
    """What the stem's records say: the process of each node that it has."""
    journal = state / "stem" / "processes"
    lines = journal.read_bytes().splitlines()[1:] if journal.exists() else []
    records = {record["name"]: record for record in map(msgspec.json.decode, lines)}
    return {name: record["pid"] for name, record in records.items() if not record.get("gone")}


def nodes(**commands: str) -> str:
    return "\n".join(
        f'[[node]]\nname = "{name}"\ncommand = ["sleep", "{command}"]' for name, command in commands.items()
    )


def test_runs_until_told_to_stop(tmp_path: Path) -> None:
    file, state = tmp_path / "nodes.toml", tmp_path / "state"
    file.write_text(nodes(a="1000", b="1000"))
    for number in (signal.SIGTERM, signal.SIGINT):
        with supervising(file, state) as process:
            running = pids(state)
            assert sorted(running) == ["a", "b"]
            assert all(command_of(pid) == ["sleep", "1000"] for pid in running.values())
            process.send_signal(number)
            _, errors = process.communicate(timeout=DEADLINE)
            assert process.returncode == 0
            assert "node 'a' started" in errors
            assert not any(psutil.pid_exists(pid) for pid in running.values())


def test_killed_and_started_again_it_finds_its_nodes_and_touches_only_what_changed(tmp_path: Path) -> None:
    file, state = tmp_path / "nodes.toml", tmp_path / "state"
    file.write_text(nodes(a="1000", b="1000", c="1000"))
    with supervising(file, state) as process:
        before = pids(state)
        process.kill()
        process.wait(DEADLINE)
    assert all(psutil.pid_exists(pid) for pid in before.values())
    file.write_text(nodes(a="1000", b="1001", d="1000"))
    with supervising(file, state):
        after = pids(state)
        assert sorted(after) == ["a", "b", "d"]
        assert after["a"] == before["a"]
        assert psutil.Process(after["b"]).cmdline() == ["sleep", "1001"]
        assert not psutil.pid_exists(before["b"])
        assert not psutil.pid_exists(before["c"])
    assert not any(psutil.pid_exists(pid) for pid in after.values())


def test_mistakes_are_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    file = tmp_path / "nodes.toml"
    file.write_text("[[node]]\nname = 'a'\nnmae = 'b'\n")
    result = subprocess.run([*PROGRAM, str(file)], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert result.returncode == 1
    assert f"{file}: [[node]] 'a': nmae: unknown key" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert os.listdir(tmp_path) == ["nodes.toml"]  # noqa: PTH208


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    file = tmp_path / "nodes.toml"
    file.write_text(nodes(a="1000"))
    command = [*PROGRAM, str(file), "--state-dir", str(file / "below")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert result.returncode == 1
    assert str(file / "below") in result.stderr
    assert "Traceback" not in result.stderr


def test_a_directory_that_cannot_be_made_stops_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "nodes.toml"
    file.write_text(nodes(a="1000", b="1000") + f'\ndirectory = "{file}/below"')
    command = [*PROGRAM, str(file), "--state-dir", str(tmp_path / "state")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert result.returncode == 1
    assert f"failed to create working directory {file}/below" in result.stderr
    assert "Traceback" not in result.stderr
    assert pids(tmp_path / "state") == {}


async def test_by_events_where_a_port_is_given(tmp_path: Path) -> None:
    """The remote twin of the Supervisor's functions, at a port of one's own."""
    file = tmp_path / "nodes.toml"
    file.write_text('[[node]]\nname = "sleeper"\ncommand = ["sleep", "1000"]\n')
    options = (str(file), "--state-dir", str(tmp_path / "state"), "--supervisor-port", "0")
    with Daemon(tmp_path / "daemon", "supervise", *options) as daemon:
        await asyncio.to_thread(daemon.ready)
        port = int(daemon.stdout.strip().rpartition(":")[2])  # any free one, and it is told
        async with WebSocketBus("test") as endpoint:
            endpoint.subscribe(topics.SUPERVISOR)
            endpoint.dial("127.0.0.1", port)
            events = endpoint.events()
            assert isinstance(await anext(events), PeerAdded)
            status = await endpoint.request(topics.SUPERVISOR, StatusRequest("r1", "sleeper"), 30.0)
            assert isinstance(status, StatusResponse)
            assert list(status.result.nodes) == ["sleeper"]
            destroyed = await endpoint.request(topics.SUPERVISOR, DestroyRequest("r2", "nope"), 30.0)
            assert destroyed == DestroyResponse("r2", False)
            twice = await endpoint.request(topics.SUPERVISOR, CreateRequest("r3", NodeConfig("sleeper")), 30.0)
            assert twice == CreateResponse("r3", "node with name 'sleeper' already exists")
            endpoint.publish(topics.SUPERVISOR, StopRequest())
            assert await asyncio.to_thread(daemon.wait) == 0
