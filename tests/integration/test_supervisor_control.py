"""The Supervisor by events, over an endpoint in memory."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from zeekfleet.broker import topics
from zeekfleet.broker.events import supervisor as events
from zeekfleet.broker.events.base import Event
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, Supervisor
from zeekfleet.supervisor.control import SupervisorControl
from zeekfleet.transport.bus import Bus, Delivery, PeerAdded
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork

DEADLINE = 30.0


class Client:
    def __init__(self, endpoint: Bus, supervisor: Supervisor) -> None:
        self.endpoint = endpoint
        self.has_written = asyncio.Event()
        supervisor.stderr_hook(lambda _node, _line: not self.has_written.set())
        self._events = endpoint.events()

    async def ask(self, event: Event) -> Event:
        return await self.endpoint.request(topics.SUPERVISOR, event, DEADLINE)

    async def hear(self, kind: type[Event]) -> Delivery:
        async with asyncio.timeout(DEADLINE):
            async for received in self._events:
                if isinstance(received, Delivery) and isinstance(received.event, kind):
                    return received
        raise AssertionError("endpoint closed")

    async def connected(self) -> None:
        async with asyncio.timeout(DEADLINE):
            async for received in self._events:
                if isinstance(received, PeerAdded):
                    return


@asynccontextmanager
async def served(state: Path, stopped: asyncio.Event) -> AsyncIterator[Client]:
    network = MemoryNetwork()
    async with (
        MemoryBus(network, name="supervisor") as server,
        MemoryBus(network, name="client") as endpoint,
        Supervisor(state, CommandEngine(["sh", "-c", "echo hello; echo there >&2; exec sleep 1000"])) as supervisor,
        asyncio.TaskGroup() as tasks,
    ):
        serving = tasks.create_task(SupervisorControl(supervisor, server, stopped.set).run())
        port = await server.listen("127.0.0.1", 0)
        endpoint.subscribe(topics.SUPERVISOR)
        endpoint.subscribe(topics.NODE_EXITS)
        endpoint.dial("127.0.0.1", port)
        client = Client(endpoint, supervisor)
        await client.connected()
        yield client
        serving.cancel()


async def test_all_requests(tmp_path: Path) -> None:
    config = NodeConfig(name="n", env={"A": "1"})
    async with served(tmp_path, asyncio.Event()) as client:
        assert await client.ask(events.CreateRequest("r1", config)) == events.CreateResponse("r1", "")
        started = await client.hear(events.NodeStatus)
        assert started.topic == topics.NODE_STATUS
        assert isinstance(started.event, events.NodeStatus)
        again = await client.ask(events.CreateRequest("r2", config))
        assert again == events.CreateResponse("r2", "node with name 'n' already exists")
        status = await client.ask(events.StatusRequest("r3"))
        assert isinstance(status, events.StatusResponse)
        assert status.result.nodes["n"].node == config
        assert status.result.nodes["n"].pid == started.event.pid
        unknown = await client.ask(events.StatusRequest("r4", "nosuch"))
        assert isinstance(unknown, events.StatusResponse)
        assert unknown.result.nodes == {}
        assert await client.ask(events.RestartRequest("r5", "nosuch")) == events.RestartResponse("r5", False)
        assert await client.ask(events.RestartRequest("r6", "n")) == events.RestartResponse("r6", True)
        assert await client.ask(events.DestroyRequest("r7", "nosuch")) == events.DestroyResponse("r7", False)
        assert await client.ask(events.DestroyRequest("r8")) == events.DestroyResponse("r8", True)
        empty = await client.ask(events.StatusRequest("r9"))
        assert isinstance(empty, events.StatusResponse)
        assert empty.result.nodes == {}


async def test_an_exit_is_told_with_the_last_lines(tmp_path: Path) -> None:
    async with served(tmp_path, asyncio.Event()) as client:
        await client.ask(events.CreateRequest("r1", NodeConfig(name="n")))
        started = await client.hear(events.NodeStatus)
        assert isinstance(started.event, events.NodeStatus)
        async with asyncio.timeout(DEADLINE):
            await client.has_written.wait()
        os.kill(started.event.pid, signal.SIGKILL)
        exited = await client.hear(events.NotifyNodeExit)
        assert exited.topic == topics.NODE_EXITS
        assert isinstance(exited.event, events.NotifyNodeExit)
        assert exited.event.node == "n"
        assert (exited.event.outputs.stdout, exited.event.outputs.stderr) == ("hello", "there")
        again = await client.hear(events.NodeStatus)
        assert isinstance(again.event, events.NodeStatus)
        assert (again.event.node, again.event.pid != started.event.pid) == ("n", True)


async def test_stop_request_calls_back(tmp_path: Path) -> None:
    stopped = asyncio.Event()
    async with served(tmp_path, stopped) as client:
        client.endpoint.publish(topics.SUPERVISOR, events.StopRequest())
        async with asyncio.timeout(DEADLINE):
            await stopped.wait()
