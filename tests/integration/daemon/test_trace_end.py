"""A cluster that has read a trace is stopped node after node, by what its nodes note in files."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from support.waiting import News
from zeekfleet.broker import topics
from zeekfleet.broker.events.supervisor import DestroyRequest, DestroyResponse, StatusRequest, StatusResponse
from zeekfleet.cli.trace_end import END_LOG, HEARD_FILE, stop_in_turn
from zeekfleet.model.names import SUPERVISOR_SOCKET
from zeekfleet.model.supervisor import NodeConfig, NodeStatus, Status
from zeekfleet.settings import Settings
from zeekfleet.transport.bus import Delivery
from zeekfleet.transport.websocket import WebSocketBus

NAMES = ("worker", "proxy", "manager", "logger")
ORDER = NAMES[:-1]
PATIENCE = 30.0


class Nodes(News):
    """Stands in for a supervisor and its nodes: those that still live note who has gone, when the test says so."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.directories = {name: root / name for name in NAMES}
        for directory in self.directories.values():
            directory.mkdir()
        self.stopped: list[str] = []
        self.pids = dict.fromkeys(NAMES, os.getpid())
        self.stops = True
        self.asked = False
        self.settings = Settings()

    def note(self, who: str, gone: str, file: str = HEARD_FILE) -> None:
        with (self.directories[who] / file).open("a") as stream:
            stream.write(f"{gone}\n")

    async def serve(self, endpoint: WebSocketBus) -> None:
        async for received in endpoint.events():
            match received:
                case Delivery(event=DestroyRequest(reqid=reqid, node=node)):
                    self.stopped.append(node)
                    self.notify()
                    endpoint.reply(received, DestroyResponse(reqid, self.stops))
                case Delivery(event=StatusRequest(reqid=reqid)):
                    nodes = {name: NodeStatus(NodeConfig(name), pid) for name, pid in self.pids.items()}
                    endpoint.reply(received, StatusResponse(reqid, Status(nodes)))
                    self.asked = True
                    self.notify()


@pytest.fixture
def ended_process() -> int:
    """The id that a process had."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes(tmp_path)
    async with WebSocketBus("supervisor") as endpoint:
        endpoint.subscribe(topics.SUPERVISOR)
        common = msgspec.structs.replace(made.settings.common, state_dir=str(tmp_path))
        made.settings = msgspec.structs.replace(made.settings, common=common)
        await endpoint.listen(f"unix:{tmp_path / SUPERVISOR_SOCKET}", 0)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(made.serve(endpoint))
            yield made
            serving.cancel()


def in_no_time(settings: Settings) -> Settings:
    """Nothing is waited for longer than a moment, whoever works."""
    return msgspec.structs.replace(
        settings, supervisor=msgspec.structs.replace(settings.supervisor, grace=0.2, grace_ceiling=0.0)
    )


async def test_each_stops_when_it_has_heard_all_of_those_before_it_and_is_heard_by_those_after_it(nodes: Nodes) -> None:
    stopping = asyncio.create_task(stop_in_turn(nodes.settings, nodes.directories, ORDER, "logger"))
    nodes.note("proxy", "worker settled")
    nodes.note("logger", "worker settled", END_LOG)
    await nodes.until(lambda: nodes.asked)
    assert not nodes.stopped  # the manager lags behind
    nodes.note("manager", "worker settled")
    await nodes.until(lambda: nodes.stopped == ["worker"])
    nodes.note("proxy", "worker")
    nodes.note("manager", "worker")
    nodes.note("logger", "worker", END_LOG)
    nodes.note("logger", "proxy after worker", END_LOG)
    nodes.note("manager", "proxy after worker")
    await nodes.until(lambda: nodes.stopped == ["worker", "proxy"])
    nodes.note("manager", "proxy")
    nodes.note("logger", "manager after proxy", END_LOG)
    await nodes.until(lambda: nodes.stopped == list(ORDER))
    assert not stopping.done()  # the logger lacks lines
    for name in ("proxy", "manager"):
        nodes.note("logger", name, END_LOG)
    async with asyncio.timeout(PATIENCE):
        assert await stopping == []


async def test_what_is_missing_is_told_and_the_others_stop_in_turn_all_the_same(nodes: Nodes) -> None:
    for mark in ("worker settled", "proxy after worker", "proxy"):
        nodes.note("manager", mark)
    nodes.note("proxy", "worker settled")
    nodes.note("logger", "worker", END_LOG)
    nodes.note("logger", "manager", END_LOG)
    assert await stop_in_turn(in_no_time(nodes.settings), nodes.directories, ORDER, "logger") == [
        "node 'proxy' has not heard all of worker",
        "node 'manager' has not heard all of worker",
        "node 'logger' has not written all of proxy",
    ]
    assert nodes.stopped == list(ORDER)


async def test_one_that_was_not_there_in_time_is_told(nodes: Nodes) -> None:
    """It has heard the end, but not what was said before it came."""
    for mark in ("worker settled", "worker", "proxy after worker", "proxy"):
        nodes.note("manager", mark)
    nodes.note("proxy", "worker")
    for name in ORDER:
        nodes.note("logger", name, END_LOG)
    problems = await stop_in_turn(in_no_time(nodes.settings), nodes.directories, ORDER, "logger")
    assert problems == ["node 'proxy' has not heard all of worker"]


async def test_one_that_has_gone_is_not_waited_for(nodes: Nodes, ended_process: int) -> None:
    nodes.pids = dict.fromkeys(NAMES, ended_process)
    async with asyncio.timeout(PATIENCE):
        assert await stop_in_turn(nodes.settings, nodes.directories, ORDER, "logger") == [
            "node 'proxy' has not heard all of worker",
            "node 'manager' has not heard all of worker",
            "node 'manager' has not heard all of proxy",
            "node 'manager' has not heard all of proxy, worker",
            "node 'logger' has not written all of manager, proxy, worker",
        ]
    assert nodes.stopped == list(ORDER)


async def test_a_node_that_does_not_stop_is_told(nodes: Nodes) -> None:
    nodes.stops = False
    for place, name in enumerate(ORDER):
        mark = f"{name} after {ORDER[place - 1]}" if place else f"{name} settled"
        for other in ("proxy", "manager"):
            nodes.note(other, name)
            nodes.note(other, mark)
        nodes.note("logger", name, END_LOG)
        nodes.note("logger", mark, END_LOG)
    problems = await stop_in_turn(nodes.settings, nodes.directories, ORDER, "logger")
    assert problems == [f"node '{name}' does not stop" for name in ORDER]
