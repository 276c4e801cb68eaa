"""Peers that speak the first generation's names alone, from its documents: nothing of zeekfleet's own codec is in here.

Values are built with zeek-client's ``brokertypes`` and read from the JSON by hand.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from zeekclient import brokertypes as bt

from support.waiting import PATIENCE

PATH = "/v1/messages/json"
CONTROLLER_TOPIC = "zeek/cluster-control/controller"
TYPES = "ClusterController::Types"


def agent_topic(name: str) -> str:
    return f"zeek/cluster-control/agent/{name}"


# --- values


def text(value: str) -> bt.String:
    return bt.String(value)


def port(number: int | None) -> bt.Type:
    return bt.NoneType() if number is None else bt.Port(number)


def instance(name: str, host: str = "0.0.0.0", listen_port: int | None = None) -> bt.Vector:
    return bt.Vector([text(name), bt.Address(host), port(listen_port)])


def node(name: str, where: str, role: str, env: Mapping[str, str] | None = None, p: int | None = None) -> bt.Vector:
    """Ten fields: the metrics port came later."""
    return bt.Vector(
        [
            text(name),
            text(where),
            bt.Enum(f"Supervisor::{role}"),
            bt.Enum(f"{TYPES}::PENDING"),
            port(p),
            bt.NoneType(),
            bt.NoneType(),
            bt.NoneType(),
            bt.NoneType(),
            bt.Table({text(key): text(value) for key, value in (env or {}).items()}),
        ]
    )


def configuration(identifier: str, instances: Sequence[bt.Vector], nodes: Sequence[bt.Vector] = ()) -> bt.Vector:
    return bt.Vector([text(identifier), bt.Set(set(instances)), bt.Set(set(nodes))])


def result(
    reqid: str, where: str = "", success: bool = True, data: bt.Type | None = None, error: str = ""
) -> bt.Vector:
    """Instance and error are mandatory strings."""
    return bt.Vector([text(reqid), text(where), bt.Boolean(success), data or bt.NoneType(), text(error), bt.NoneType()])


def plain(value: Any) -> Any:
    """A value as Python has it; enums as their full names, ports as ``5000/tcp``."""
    match value["@data-type"]:
        case "none":
            return None
        case "vector" | "set":
            return [plain(element) for element in value["data"]]
        case "table":
            return {plain(row["key"]): plain(row["value"]) for row in value["data"]}
        case _:
            return value["data"]


@dataclass(frozen=True)
class Result:
    """``ClusterController::Types::Result``."""

    reqid: str
    instance: str
    success: bool
    data: Any
    error: str
    node: str | None

    @classmethod
    def of(cls, fields: list[Any]) -> Result:
        read = cls(*fields)
        assert isinstance(read.instance, str), fields
        assert isinstance(read.error, str), fields
        return read


@dataclass(frozen=True)
class Message:
    """An event that arrived: its arguments as :func:`plain` gives them."""

    topic: str
    name: str
    args: list[Any]

    @property
    def result(self) -> Result:
        """The one of ``…_response(reqid, result)``."""
        return Result.of(self.args[1])

    @property
    def results(self) -> list[Result]:
        """Those of ``…_response(reqid, results)``."""
        return [Result.of(fields) for fields in self.args[1]]


# --- peers


class Peer:
    """A WebSocket peer in a thread of its own; dials or listens.

    Args:
        subscriptions: what it subscribes to where it dials.

    Attributes:
        has_dialled: whether it did.
        refused: the codes of the errors that it was answered with.
    """

    def __init__(self, *subscriptions: str) -> None:
        self._subscriptions = subscriptions
        self._news = threading.Condition()
        self._heard: list[Message] = []
        self.has_dialled = False
        self.refused: list[str] = []
        self._sockets: list[Any] = []
        self._answers: dict[str, Callable[[Message], None]] = {}
        self._connected: Callable[[], None] = lambda: None
        self._loop = asyncio.new_event_loop()
        self._stop: list[Callable[[], Any]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    def dial(self, to: int) -> None:
        """Connect to a port on loopback; back when the other side has acknowledged."""
        self._run(self._dial(to))

    def listen(self) -> int:
        """Accept connections on loopback; the port."""
        bound: int = self._run(self._listen())
        return bound

    def answer(self, name: str, how: Callable[[Message], None]) -> None:
        """Call ``how`` for each event of that name."""
        self._answers[name] = how

    def on_connection(self, act: Callable[[], None]) -> None:
        """Call ``act`` when somebody has connected to us."""
        self._connected = act

    def send(self, topic: str, name: str, *args: bt.Type | str | bool | int) -> None:
        """Publish an event; strings, booleans and counts may be given as Python has them."""
        values = [_value(arg) for arg in args]
        frame = bt.DataMessage(topic, bt.ZeekEvent(name, *values)).serialize()
        self._run(self._send(frame))

    def heard(self, name: str) -> list[Message]:
        """All events of that name so far."""
        with self._news:
            return [message for message in self._heard if message.name == name]

    def wait(self, name: str, fits: Callable[[Message], object] = bool) -> Message:
        """The first event of that name, old or new, that fits."""

        def found() -> Message | None:
            return next((message for message in self._heard if message.name == name and fits(message)), None)

        with self._news:
            assert self._news.wait_for(found, PATIENCE), f"no {name} that fits among {self._heard}"
            message = found()
            assert message is not None
            return message

    def request(self, topic: str, name: str, reqid: str, *args: bt.Type | str | bool | int) -> Message:
        """Send ``name_request`` and wait for the ``name_response`` of the same id."""
        self.send(topic, f"{name}_request", reqid, *args)
        return self.wait(f"{name}_response", lambda message: message.args[0] == reqid)

    def everything(self) -> list[Message]:
        """All events so far."""
        with self._news:
            return list(self._heard)

    def _run(self, work: Any) -> Any:
        if threading.current_thread() is self._thread:  # an answer is given in the peer's own thread
            self._answering = self._loop.create_task(work)
            return None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _dial(self, to: int) -> None:
        self.has_dialled = True
        session = aiohttp.ClientSession()
        self._stop.append(session.close)
        socket = await session.ws_connect(f"ws://127.0.0.1:{to}{PATH}")
        await socket.send_str(json.dumps(list(self._subscriptions)))
        acknowledgement = json.loads((await socket.receive()).data)
        assert acknowledgement["type"] == "ack", acknowledgement
        self._sockets.append(socket)
        self._reading = self._loop.create_task(self._read(socket))

    async def _listen(self) -> int:
        application = web.Application()
        application.router.add_get(PATH, self._accept)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        self._stop.append(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        bound: int = runner.addresses[0][1]
        return bound

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        prefixes = tuple(json.loads((await socket.receive()).data))
        assert any(prefix.startswith("zeek/cluster-control/") for prefix in prefixes), prefixes
        await socket.send_str(json.dumps({"type": "ack", "endpoint": "first-generation", "version": "4.2"}))
        self._sockets.append(socket)
        self._connected()
        await self._read(socket)
        return socket

    async def _read(self, socket: Any) -> None:
        async for frame in socket:
            document = json.loads(frame.data)
            if document["type"] == "error":
                self.refused.append(document["code"])
                continue
            assert document["type"] == "data-message", document
            name, args = plain(document)[2][:2]
            message = Message(document["topic"], name, args)
            with self._news:
                self._heard.append(message)
                self._news.notify_all()
            if name in self._answers:
                self._answers[name](message)

    async def _send(self, frame: str) -> None:
        for socket in self._sockets:
            if not socket.closed:
                await socket.send_str(frame)

    async def _close(self) -> None:
        for socket in self._sockets:
            await socket.close()
        for stop in self._stop:
            await stop()


def _value(arg: bt.Type | str | bool | int) -> bt.Type:
    match arg:
        case str():
            return text(arg)
        case bool():
            return bt.Boolean(arg)
        case int():
            return bt.Count(arg)
        case _:
            return arg
