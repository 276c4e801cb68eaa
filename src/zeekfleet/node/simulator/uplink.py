"""The simulated node's link to its agent: dial, subscribe, talk; dial again when it is lost."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable

from zeekfleet.broker import messages, topics
from zeekfleet.broker.events.base import Event
from zeekfleet.errors import FrameError, TransportError, ValueMismatchError
from zeekfleet.node.simulator import frames
from zeekfleet.transport import unix_sockets

DIAL_TIMEOUT = 5.0
HANDSHAKE_TIMEOUT = 10.0
IDLE_TIMEOUT = 30.0
DRAIN_TIMEOUT = 1.0
FIRST_DELAY = 0.05
LONGEST_DELAY = 0.5
"""The agent is on the same host: trying its socket costs nothing, and a second is all it may take to be found again."""
LARGEST_BACKLOG = 16 * 1024 * 1024
_NOT_IN_NAMES = re.compile(r"[^-/_.=:*@a-zA-Z0-9]")


class Uplink:
    """Keeps one connection to the agent.

    Args:
        host: address, or ``unix:PATH``.
        port: the agent's port, 0 for ``unix:``.
        name: the node's name.
        connected: called at every connection, once the agent has acknowledged.
        received: called with every event that arrives.
        log: called with a sentence when a connection is made or lost.
    """

    def __init__(
        self,
        host: str,
        port: int,
        name: str,
        connected: Callable[[], None],
        received: Callable[[Event], None],
        log: Callable[[str], None],
    ) -> None:
        self._host = host
        self._port = port
        self._name = _NOT_IN_NAMES.sub("_", name)
        self._connected = connected
        self._received = received
        self._log = log
        self._wire: _Wire | None = None

    @property
    def up(self) -> bool:
        """Whether the agent can be talked to."""
        return self._wire is not None and self._wire.acknowledged

    def send(self, event: Event) -> None:
        """Publish on the nodes' topic; lost when there is no connection."""
        if self._wire is not None and self._wire.acknowledged:
            self._wire.send(frames.TEXT, messages.encode_event(topics.NODE, event))

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until cancelled; then close in good order."""
        delay = FIRST_DELAY
        while True:
            try:
                was_up, reason = await self._connection()
            except (OSError, TimeoutError) as error:
                was_up, reason = False, str(error) or "no answer in time"
            if was_up or delay == FIRST_DELAY:
                self._log(f"no link to the agent: {reason}")
            delay = FIRST_DELAY if was_up else min(2 * delay, LONGEST_DELAY)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, hides nothing

    async def _connection(self) -> tuple[bool, str]:
        """One connection: whether the agent acknowledged, and why it ended."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DIAL_TIMEOUT):
            if self._host.startswith("unix:"):
                with unix_sockets.short_path(self._host.removeprefix("unix:")) as path:
                    _, wire = await loop.create_unix_connection(lambda: self._new_wire("localhost"), path)
            else:
                host = f"[{self._host}]" if ":" in self._host else self._host
                shown = f"{host}:{self._port}"
                _, wire = await loop.create_connection(lambda: self._new_wire(shown), self._host, self._port)
        self._wire = wire
        try:
            reason = await wire.lost
            return wire.acknowledged, reason
        finally:
            self._wire = None
            await wire.close(1000)

    def _new_wire(self, host: str) -> _Wire:
        return _Wire(frames.ClientFrames(host, self._name), self._acknowledged, self._received, self._log)

    def _acknowledged(self) -> None:
        self._log("linked to the agent")
        self._connected()


class _Wire(asyncio.Protocol):
    """One connection; ``lost`` becomes the reason when it has ended."""

    def __init__(
        self,
        client: frames.ClientFrames,
        connected: Callable[[], None],
        received: Callable[[Event], None],
        log: Callable[[str], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.acknowledged = False
        self._client = client
        self._connected = connected
        self._received = received
        self._log = log
        self._transport: asyncio.Transport | None = None
        self._heard = loop.time()
        self._gone = asyncio.Event()
        self._watch = loop.call_later(HANDSHAKE_TIMEOUT, self._check)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy: stream connections have one
        self._transport = transport
        transport.write(self._client.request())

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        try:
            for arrival in self._client.receive(data):
                self._arrived(arrival)
        except TransportError as error:
            self._end(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._end(str(exc) if exc else "the agent closed the connection")

    def send(self, opcode: int, content: bytes) -> None:
        """Write a frame; an agent that reads nothing for long is given up."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(frames.frame(opcode, content))
        if self._transport.get_write_buffer_size() > LARGEST_BACKLOG:
            self._end("the agent does not read")
            self._transport.abort()

    async def close(self, code: int) -> None:
        """Say good-bye, let what was written go out, and close."""
        if self._transport is None:
            return
        if not self._transport.is_closing():
            self._transport.write(frames.close_frame(code))
            self._transport.close()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await self._gone.wait()
        except TimeoutError:
            self._transport.abort()

    def _arrived(self, arrival: frames.Arrival) -> None:
        match arrival:
            case frames.Opened():
                self.send(frames.TEXT, messages.encode_message([topics.NODE]))
            case frames.Pinged(data):
                self.send(frames.PONG, data)
            case frames.Closed(code, reason):
                self._end(f"the agent closed the connection ({code} {reason})".replace(" )", ")"))
            case frames.Text(data):
                self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            message = messages.decode_message(data)
            match message:
                case messages.Ack() if not self.acknowledged:
                    self.acknowledged = True
                    self._connected()
                case messages.DataMessage():
                    event, _ = messages.decode_event(message)
                    self._received(event)
                case messages.ErrorMessage(code=code, context=context):
                    self._log(f"the agent refused a message: {code} {context}")
        except (FrameError, ValueMismatchError) as error:
            self._log(f"cannot understand the agent: {error}")

    def _check(self) -> None:
        """Give up a connection on which nothing came for long: the agent pings every few seconds."""
        loop = asyncio.get_running_loop()
        silence = loop.time() - self._heard
        if self.acknowledged and silence < IDLE_TIMEOUT:
            self._watch = loop.call_later(IDLE_TIMEOUT - silence, self._check)
            return
        self._end("nothing was heard from the agent")
        if self._transport is not None:
            self._transport.abort()

    def _end(self, reason: str) -> None:
        self._watch.cancel()
        if not self.lost.done():
            self.lost.set_result(reason)
