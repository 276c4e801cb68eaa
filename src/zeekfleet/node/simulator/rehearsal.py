"""A node's whole life, played through in the warm process before the first real one is forked.

What has run a few times has been specialised by the interpreter, its modules are
imported and its converters compiled: all of that is written to memory once, and
shared by every fork, instead of once in each. It saves a node about 1 MiB.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from zeekfleet.broker import messages, topics
from zeekfleet.broker.events.node import NodeDispatchRequest
from zeekfleet.logs.handlers import ManagementLog
from zeekfleet.model.enums import ClusterRole, Role
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.node.simulator import configuration, frames
from zeekfleet.node.simulator.behaviour import read
from zeekfleet.node.simulator.identifiers import identifiers
from zeekfleet.node.simulator.process import SimulatedNode

LIVES = 12
LIFE_TIMEOUT = 5.0


def rehearse(lives: int = LIVES) -> int:
    """Live so many lives; returns how many dispatches were answered, one a life if all went well."""
    try:
        with tempfile.TemporaryDirectory(prefix="zeekfleet-rehearsal-") as directory:
            return sum(_life(Path(directory)) for _ in range(lives))
    except (OSError, TimeoutError):
        return 0  # without it nodes only take more memory


def _life(directory: Path) -> int:
    row = ClusterEndpoint(ClusterRole.WORKER, Address("127.0.0.1"), NO_PORT, "eth0", None, Port(9000))
    config = NodeConfig(name="rehearsal", cluster={"rehearsal": row}, env={"A": "B"})
    for name, content in configuration.files(config, "{}").items():
        (directory / name).write_text(content)
    environment = {configuration.CONFIG_VARIABLE: configuration.CONFIG_FILE}
    config = configuration.load(environment, directory)
    configuration.missing_input(config, directory)
    table = identifiers(config, configuration.cluster_nodes_reader(environment, directory))
    log = ManagementLog(directory, config.name, Role.NODE)
    socket = directory / "agent.sock"
    try:
        return asyncio.run(
            _played(SimulatedNode(config, table, read(environment), (f"unix:{socket}", 0), log, metrics_port=0), socket)
        )
    finally:
        log.close()
        socket.unlink(missing_ok=True)


async def _played(node: SimulatedNode, path: Path) -> int:
    answered = asyncio.Event()

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _play_agent(reader, writer)
        answered.set()
        writer.close()

    async with asyncio.timeout(LIFE_TIMEOUT):
        server = await asyncio.start_unix_server(agent, path)
        async with server, asyncio.TaskGroup() as tasks:
            life = tasks.create_task(node.live())
            await answered.wait()
            node.stop()
            await life
    return node.dispatches


async def _play_agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the handshake, the subscriptions and the hello, and dispatch once."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    upgrade = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {frames.accept_value(key)}\r\n\r\n"
    writer.write(upgrade.encode())
    await _skip_frame(reader)
    request = NodeDispatchRequest("reqid", ("get_id_value", "bits_per_uid"), frozenset({"rehearsal"}))
    writer.write(_server_frame(messages.encode_message(messages.Ack("rehearsal", "0"))))
    await _skip_frame(reader)
    writer.write(_server_frame(messages.encode_event(topics.NODE, request)))
    await _skip_frame(reader)


async def _skip_frame(reader: asyncio.StreamReader) -> None:
    size = (await reader.readexactly(2))[1] & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    await reader.readexactly(4 + size)


def _server_frame(content: bytes) -> bytes:
    return bytes((0x80 | frames.TEXT, 126)) + len(content).to_bytes(2, "big") + content
