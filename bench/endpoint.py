"""Round trips each second over one connection: a request like get-instances, its response, the next request.

The server runs in a process of its own.

    python bench/endpoint.py
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time

import msgspec
import websocket
from websockets.frames import Frame, Opcode
from zeekclient import brokertypes, events

from zeekfleet.broker import topics, values
from zeekfleet.broker.codec import Codec, Layout
from zeekfleet.broker.events.controller import GetInstancesRequest, GetInstancesResponse
from zeekfleet.broker.messages import encode_event
from zeekfleet.model.management import Instance, Result
from zeekfleet.model.types import Address
from zeekfleet.transport.bus import Delivery
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
ROUNDS = 5000
INSTANCES = tuple(Instance(f"agent-{number}", Address(f"10.0.0.{number}")) for number in range(4))


async def serve() -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    data = msgspec.json.decode(Codec(Layout()).to_json(INSTANCES), type=values.Value)
    async with WebSocketBus("server") as endpoint:
        endpoint.subscribe(topics.CONTROLLER)
        print(await endpoint.listen(HOST, 0), flush=True)
        answering = asyncio.create_task(answer(endpoint, data))
        loop.add_reader(sys.stdin, answering.cancel)
        await asyncio.wait((answering,))
        loop.remove_reader(sys.stdin)


async def answer(endpoint: WebSocketBus, data: object) -> None:
    """Reply to every request."""
    async for received in endpoint.events():
        if isinstance(received, Delivery) and isinstance(received.event, GetInstancesRequest):
            reqid = received.event.reqid
            endpoint.reply(received, GetInstancesResponse(reqid, Result(reqid, data=data)))


def text_frame(text: bytes) -> bytes:
    """As a client sends it."""
    return Frame(Opcode.TEXT, text).serialize(mask=True)


def raw_rate(port: int) -> float:
    """A client that needs nearly no CPU, to measure the server alone."""
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(
            b"GET /v1/messages/json HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        connection.recv(65536)
        connection.sendall(text_frame(f'["{topics.CONTROLLER}"]'.encode()))
        connection.recv(65536)
        frame = text_frame(encode_event(topics.CONTROLLER, GetInstancesRequest("reqid")))
        started = time.perf_counter()
        for _ in range(ROUNDS):
            connection.sendall(frame)
            connection.recv(65536)
        return ROUNDS / (time.perf_counter() - started)


def bare_rate(port: int) -> float:
    """A client that does nothing but send and receive, as zeek-client does, without decoding."""
    connection = websocket.create_connection(f"ws://{HOST}:{port}/v1/messages/json", timeout=10)
    connection.send(f'["{topics.CONTROLLER}"]')
    connection.recv()
    frame = encode_event(topics.CONTROLLER, GetInstancesRequest("reqid"))
    started = time.perf_counter()
    for _ in range(ROUNDS):
        connection.send(frame)
        connection.recv()
    rate = ROUNDS / (time.perf_counter() - started)
    connection.close()
    return rate


def zeek_client_rate(port: int) -> float:
    """The same with zeek-client's types on the client's side."""
    connection = websocket.create_connection(f"ws://{HOST}:{port}/v1/messages/json", timeout=10)
    connection.send(f'["{topics.CONTROLLER}"]')
    connection.recv()
    started = time.perf_counter()
    for number in range(ROUNDS):
        request = events.GetInstancesRequest(str(number)).to_brokertype()
        connection.send(brokertypes.DataMessage(topics.CONTROLLER, request).serialize())
        read = brokertypes.ZeekEvent.from_vector(brokertypes.unserialize(connection.recv()).data)
        events.Registry.make_event(read.name, *read.args)
    rate = ROUNDS / (time.perf_counter() - started)
    connection.close()
    return rate


async def endpoint_rate(port: int) -> float:
    """Our endpoint on both sides, ``await request()`` one after the other."""
    async with WebSocketBus("client") as endpoint:
        endpoint.subscribe(topics.CONTROLLER)
        endpoint.dial(HOST, port)
        await anext(endpoint.events())
        started = time.perf_counter()
        for number in range(ROUNDS):
            await endpoint.request(topics.CONTROLLER, GetInstancesRequest(str(number)), 10)
        return ROUNDS / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    with subprocess.Popen([sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        aimed = 2000
        for who, rate in (
            ("raw socket, no codec", raw_rate(port)),
            ("websocket-client, no codec", bare_rate(port)),
            ("zeek-client's types (mostly its own cost)", zeek_client_rate(port)),
            ("zeekfleet's endpoint", asyncio.run(endpoint_rate(port))),
        ):
            print(f"{who:<40} {rate:8.0f} round trips a second, {rate / aimed:5.2f} x the {aimed} aimed at")
        server.stdin.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
