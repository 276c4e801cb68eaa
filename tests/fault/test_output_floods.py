"""A node that writes as fast as it can, without a newline for hundreds of megabytes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.daemons import memory_of
from zeekfleet.model.launch import RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, NodeExit, Supervisor

MEGABYTE = 2**20
FLOOD = 300
"""Megabytes."""

LAST = "last words"
ALLOWED = 64 * MEGABYTE
"""Bytes that the memory of a process of ours may grow by: a fifth of the flood."""

WRITER = f"""
import os, sys, time
block = b"x" * {MEGABYTE}
while not os.path.exists("go"):
    time.sleep(0.01)
began = time.monotonic()
for _ in range({FLOOD}):
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(1, rest):]
took = time.monotonic() - began
os.write(1, b"\\n{LAST}\\n")
os.write(2, b"%f\\n" % took)
sys.exit(3)
"""
NODE = CommandEngine([sys.executable, "-S", "-c", WRITER], revival=RevivalSettings(enabled=False))
SLEEP = CommandEngine(["sleep", "1000"])


def whole(output: Path) -> bool:
    """Whether each byte is there."""
    count = 0
    with output.open("rb") as file:
        while (block := file.read(MEGABYTE)) and len(block) == MEGABYTE and block.count(b"x") == MEGABYTE:
            count += 1
    return count == FLOOD and block == f"\n{LAST}\n".encode()


async def test_memory_is_bounded_no_byte_is_lost_and_others_are_served(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, NODE) as supervisor:
        ended: asyncio.Future[NodeExit] = asyncio.get_running_loop().create_future()
        seen = longest = 0

        @supervisor.stdout_hook
        def hook(node: str, line: str) -> bool:
            nonlocal seen, longest
            if node == "a":
                seen, longest = seen + len(line), max(longest, len(line))
            return True

        supervisor.on_node_exit(lambda exit_: ended.set_result(exit_) if exit_.node == "a" else None)
        await supervisor.create(NodeConfig(name="sibling"), SLEEP)
        await supervisor.create(NodeConfig(name="a"))
        stem = psutil.Process(supervisor.details("a")["a"].pid or 0).parent()
        assert stem is not None
        ours, its = memory_of(os.getpid()), memory_of(stem.pid)
        most = waited = 0.0
        (tmp_path / "nodes" / "a" / "go").touch()
        async with asyncio.timeout(100):
            while not ended.done():
                began = time.monotonic()
                assert await supervisor.restart("sibling")
                waited = max(waited, time.monotonic() - began)
                most = max(most, memory_of(os.getpid()) - ours)
                assert memory_of(stem.pid) - its < 5 * MEGABYTE
        assert most < ALLOWED
        assert waited < 2
        exit_ = ended.result()
        assert exit_.code == 3
        assert exit_.outputs.stdout.endswith(f"x\n{LAST}")
        assert len(exit_.outputs.stdout) <= MEGABYTE
        assert seen == FLOOD * MEGABYTE + len(LAST)
        assert longest < 2 * MEGABYTE
        assert whole(tmp_path / "nodes" / "a" / "stdout")


@pytest.mark.parametrize("victim", ["stopped", "killed"])
async def test_the_node_waits_for_nobody(tmp_path: Path, victim: str) -> None:
    """Neither for a stem that does not run, nor for a supervisor that does not read."""
    async with Supervisor(tmp_path, NODE) as supervisor:
        ended: asyncio.Future[NodeExit] = asyncio.get_running_loop().create_future()
        supervisor.stdout_hook(lambda _node, _line: True)
        supervisor.on_node_exit(ended.set_result)
        await supervisor.create(NodeConfig(name="a"))
        pid = supervisor.details("a")["a"].pid or 0
        stem = psutil.Process(pid).parent()
        assert stem is not None
        stem.send_signal(signal.SIGSTOP if victim == "stopped" else signal.SIGKILL)
        (tmp_path / "nodes" / "a" / "go").touch()
        errors = tmp_path / "nodes" / "a" / "stderr"
        deadline = time.monotonic() + 60
        while not errors.stat().st_size:  # this is what keeps the supervisor from reading
            assert time.monotonic() < deadline
            time.sleep(0.01)  # noqa: ASYNC251
        assert whole(tmp_path / "nodes" / "a" / "stdout")
        if victim == "stopped":
            stem.send_signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            exit_ = await ended
        assert exit_.pid == pid
        assert exit_.outputs.stdout.endswith(LAST)
