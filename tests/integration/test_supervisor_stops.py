"""Processes that take their time to end, since they have much to write."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from support.daemons import wait_for_end_of
from support.waiting import News
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, NodeExit, NodeStopping, Supervisor

DEADLINE = 60.0
LINES = 150

# Says that it is ready, and when told to stop writes so many blocks of a line each, or does nothing (-1).
PROGRAM = """
import signal, sys, time
blocks = int(sys.argv[1])
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
print("ready", flush=True)
while not asked:
    signal.pause()
while blocks < 0:
    time.sleep(1)
for number in range(blocks):
    print(number, "x" * 16384, flush=True)
    time.sleep(0.02)
"""


def program(blocks: int, grace: float, ceiling: float) -> CommandEngine:
    return CommandEngine([sys.executable, "-c", PROGRAM, str(blocks)], grace=grace, grace_ceiling=ceiling)


class Seen(News):
    """What a Supervisor tells of its nodes, and a way to wait for it."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__()
        self.exits: dict[str, NodeExit] = {}
        self.news: list[NodeStopping] = []
        self.ready: set[str] = set()
        supervisor.on_node_exit(lambda exit_: self.exits.update({exit_.node: exit_}))
        supervisor.on_node_stopping(self._stopping)
        supervisor.stdout_hook(self._line)

    def _stopping(self, news: NodeStopping) -> None:
        self.news.append(news)
        self.notify()

    def _line(self, node: str, line: str) -> bool:
        if line == "ready":
            self.ready.add(node)
            self.notify()
        return True

    async def until_ready(self, *names: str) -> None:
        await self.until(lambda: self.ready.issuperset(names))


@pytest.mark.long
async def test_who_still_writes_is_given_time(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, program(LINES, 2.0, 120.0)) as supervisor:
        seen = Seen(supervisor)
        assert await supervisor.create(NodeConfig(name="logger")) == ""
        assert await supervisor.create(NodeConfig(name="idle"), program(-1, 1.0, 120.0)) == ""
        assert await supervisor.create(NodeConfig(name="endless"), program(10**9, 1.0, 4.0)) == ""
        assert await supervisor.create(NodeConfig(name="worker"), program(10**9, 1.0, 0.0)) == ""
        await seen.until_ready("logger", "idle", "endless", "worker")
        assert await supervisor.destroy()
        assert {name: exit_.signal for name, exit_ in seen.exits.items()} == {
            "logger": None,
            "idle": signal.SIGKILL,
            "endless": signal.SIGKILL,
            "worker": signal.SIGKILL,
        }
        assert seen.exits["logger"].code == 0
        written = (tmp_path / "nodes/logger/stdout").read_text().splitlines()
        assert [line.split()[0] for line in written[1:]] == [str(number) for number in range(LINES)]
        assert {news.node for news in seen.news} <= {"logger", "endless"}
        assert "logger" in {news.node for news in seen.news}
        assert all(news.written > 16384 for news in seen.news)


@pytest.mark.long
async def test_who_cannot_wait_says_so(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, program(10**9, 0.5, 86400.0)) as supervisor:
        seen = Seen(supervisor)
        for name in ("named", "left"):
            assert await supervisor.create(NodeConfig(name=name)) == ""
        await seen.until_ready("named", "left")
        pid = supervisor.status("left").nodes["left"].pid
        stopping = [asyncio.create_task(supervisor.destroy("named")), asyncio.create_task(supervisor.shutdown())]
        await seen.until(lambda: {news.node for news in seen.news} == {"named", "left"})
        supervisor.hurry(["named"])
        assert await asyncio.wait_for(stopping[0], DEADLINE)
        assert seen.exits["named"].signal == signal.SIGKILL
        # As at a second signal: who does not wait any more leaves, and the stem goes on.
        stopping[1].cancel()
        assert await asyncio.to_thread(wait_for_end_of, pid)
