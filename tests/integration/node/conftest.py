"""The agent's side of connections to nodes, and a runner that starts nodes as the stem does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from support.waiting import News
from zeekfleet.broker import topics
from zeekfleet.broker.events.node import NodeDispatchRequest, NodeDispatchResponse, NotifyNodeHello
from zeekfleet.model.launch import LaunchContext, LaunchSpec
from zeekfleet.transport.bus import Delivery, PeerAdded, PeerLost
from zeekfleet.transport.websocket import WebSocketBus

DEADLINE = 60.0


class Agent(News):
    """Receives everything on the nodes' topic, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.hellos: list[str] = []
        self.answers: list[NodeDispatchResponse] = []
        self.added: list[str] = []
        self.lost: list[str] = []
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        self.endpoint = await self._stack.enter_async_context(WebSocketBus(name="agent"))
        self.endpoint.subscribe(topics.NODE)
        self._reader = asyncio.create_task(self._listen_to_all())

    async def stop(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._stack.aclose()

    async def restart(self, link: str) -> None:
        await self.stop()
        await self.start()
        await self.endpoint.listen(link, 0)

    async def _listen_to_all(self) -> None:
        async for received in self.endpoint.events():
            match received:
                case Delivery(event=NotifyNodeHello(node=node)):
                    self.hellos.append(node)
                case Delivery(event=NodeDispatchResponse() as answer):
                    self.answers.append(answer)
                case PeerAdded(peer):
                    self.added.append(peer.name)
                case PeerLost(peer):
                    self.lost.append(peer.name)
            self.notify()

    def dispatch(self, reqid: str, *action: str, nodes: frozenset[str] = frozenset()) -> None:
        self.endpoint.publish(topics.NODE, NodeDispatchRequest(reqid, action, nodes))

    async def answers_to(self, reqid: str, count: int) -> dict[str, NodeDispatchResponse]:
        def found() -> dict[str, NodeDispatchResponse]:
            return {answer.result.node or "": answer for answer in self.answers if answer.reqid == reqid}

        await self.until(lambda: len(found()) >= count)
        return found()


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    agent = Agent()
    await agent.start()
    yield agent
    await agent.stop()


@pytest.fixture
async def link(agent: Agent, tmp_path: Path) -> str:
    where = f"unix:{tmp_path}/agent.sock"
    await agent.endpoint.listen(where, 0)
    return where


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., LaunchContext]:
    def make(name: str, **environment: str) -> LaunchContext:
        directory = tmp_path / "nodes" / name
        return LaunchContext(
            directory=str(directory),
            stdout_file=str(directory / "stdout"),
            stderr_file=str(directory / "stderr"),
            state_directory=str(tmp_path),
            spool_directory=str(tmp_path),
            bare_mode=False,
            environment={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        )

    return make


class Runner:
    """Runs launch specs as child processes."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def prepare(spec: LaunchSpec) -> None:
        directory = Path(spec.directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in spec.files.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(content)

    def start(self, spec: LaunchSpec) -> subprocess.Popen[bytes]:
        self.prepare(spec)
        with Path(spec.stdout_file).open("ab") as stdout, Path(spec.stderr_file).open("ab") as stderr:
            process = subprocess.Popen(
                spec.argv, env=spec.env, cwd=spec.directory, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
        self.running.append(process)
        return process

    @staticmethod
    async def ended(process: subprocess.Popen[bytes]) -> int:
        return await asyncio.to_thread(process.wait, DEADLINE)

    def end_all(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(DEADLINE)


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.end_all()
