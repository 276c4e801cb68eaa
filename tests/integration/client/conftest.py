"""A scripted controller on a real socket, and a way to run commands against it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.base import Event
from zeekfleet.model.management import Result
from zeekfleet.transport.bus import Delivery, PeerAdded
from zeekfleet.transport.websocket import WebSocketBus

BIN = Path(sys.executable).parent
Answer = Callable[[Event], Event | None]


_NOBODY = Result("", data=())


def _failed(request: Event, error: str) -> Event:
    assert isinstance(request, api.GetConfigurationRequest)
    return api.GetConfigurationResponse(request.reqid, Result(request.reqid, False, error=error))


@dataclass
class ScriptedController:
    """Answers each request event by the function registered for its class; silent otherwise."""

    endpoint: WebSocketBus
    port: int
    answers: dict[type[Event], Answer] = field(default_factory=dict)
    heard: list[Event] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)

    def on(self, request: type[Event], answer: Answer) -> None:
        self.answers[request] = answer
        if request is api.DeployRequest:  # our own verb looks at what is staged
            none = partial(_failed, error="no staged configuration available")
            self.answers.setdefault(api.GetConfigurationRequest, none)
        if request is api.GetNodesRequest:  # what is deployed and connected is asked, too: nothing is
            none = partial(_failed, error="no deployed configuration available")
            self.answers.setdefault(api.GetConfigurationRequest, none)
            self.answers.setdefault(api.GetInstancesRequest, lambda r: api.GetInstancesResponse(r.reqid, _NOBODY))

    async def serve(self) -> None:
        async for received in self.endpoint.events():
            if isinstance(received, PeerAdded):
                self.met.set()
            if isinstance(received, Delivery):
                self.heard.append(received.event)
                answer = self.answers.get(type(received.event), lambda _: None)(received.event)
                if answer is not None:
                    self.endpoint.reply(received, answer)


@pytest.fixture
async def controller() -> AsyncIterator[ScriptedController]:
    async with WebSocketBus(name="scripted") as endpoint:
        endpoint.subscribe("zeek/management/controller")
        port = await endpoint.listen("127.0.0.1", 0)
        scripted = ScriptedController(endpoint, port)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(scripted.serve())
            yield scripted
            task.cancel()


@dataclass(frozen=True)
class Finished:
    code: int
    stdout: str
    stderr: str


Run = Callable[..., Awaitable[Finished]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    async def run_command(
        program: str, *arguments: str, stdin: str = "", environment: dict[str, str] | None = None
    ) -> Finished:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("ZEEK")}
        process = await asyncio.create_subprocess_exec(
            str(BIN / program),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env=clean | (environment or {}),
        )
        async with asyncio.timeout(60):
            stdout, stderr = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert "Traceback" not in stderr.decode() or program == "zeek-client"
        return Finished(process.returncode, stdout.decode(), stderr.decode())

    return run_command
