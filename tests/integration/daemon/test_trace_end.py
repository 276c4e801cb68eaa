"""A cluster that has read a trace is stopped node after node, by what its nodes note in files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events.supervisor import DestroyRequest, DestroyResponse
from zeekfleet.cli import trace_end
from zeekfleet.cli.trace_end import END_LOG, HEARD_FILE, stop_in_turn
from zeekfleet.errors import SupervisionError
from zeekfleet.settings import Settings
from zeekfleet.transport.endpoint import Delivery
from zeekfleet.transport.websocket import WebSocketEndpoint

NAMES = ("worker", "proxy", "manager", "logger")
ORDER = NAMES[:-1]
PATIENCE = 30.0


class Nodes:
    """Stands in for a supervisor and its nodes: those that still live note who has gone, when the test says so."""

    def __init__(self, root: Path) -> None:
        self.directories = {name: root / name for name in NAMES}
        for directory in self.directories.values():
            directory.mkdir()
        self.stopped: list[str] = []
        self.changed = asyncio.Event()
        self.settings = Settings()

    def note(self, who: str, gone: str, file: str = HEARD_FILE) -> None:
        with (self.directories[who] / file).open("a") as stream:
            stream.write(f"{gone}\n")

    async def serve(self, endpoint: WebSocketEndpoint) -> None:
        async for happening in endpoint.events():
            match happening:
                case Delivery(event=DestroyRequest(reqid=reqid, node=node)):
                    self.stopped.append(node)
                    self.changed.set()
                    endpoint.reply(happening, DestroyResponse(reqid, True))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes(tmp_path)
    async with WebSocketEndpoint("supervisor") as endpoint:
        endpoint.subscribe(topics.SUPERVISOR)
        port = await endpoint.listen("127.0.0.1", 0)
        supervisor = msgspec.structs.replace(made.settings.supervisor, port=port)
        made.settings = msgspec.structs.replace(made.settings, supervisor=supervisor)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(made.serve(endpoint))
            yield made
            serving.cancel()


async def test_each_stops_when_it_has_heard_all_of_those_before_it(nodes: Nodes) -> None:
    stopping = asyncio.create_task(stop_in_turn(nodes.settings, nodes.directories, ORDER, "logger"))
    await nodes.until(lambda: nodes.stopped == ["worker"])
    nodes.note("manager", "worker")
    nodes.note("logger", "worker", END_LOG)
    nodes.note("proxy", "worker")
    await nodes.until(lambda: nodes.stopped == ["worker", "proxy"])
    nodes.note("manager", "proxy")
    await nodes.until(lambda: nodes.stopped == list(ORDER))
    assert not stopping.done()  # the logger lacks lines
    for name in ("proxy", "manager"):
        nodes.note("logger", name, END_LOG)
    async with asyncio.timeout(PATIENCE):
        await stopping


async def test_who_gets_no_further_is_named(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_end, "PATIENCE", 0.2)
    with pytest.raises(SupervisionError, match="node 'proxy' has not heard all of worker; logs may be incomplete"):
        await stop_in_turn(nodes.settings, nodes.directories, ORDER, "logger")
    assert nodes.stopped == ["worker"]
