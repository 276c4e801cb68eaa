"""The simulated node's connection to its agent, which is opened again when it is lost."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from errno import EINPROGRESS

from zeekfleet.broker import client_frames as frames
from zeekfleet.errors import TransportError
from zeekfleet.model.defaults import LOCALHOST
from zeekfleet.node.simulator import events
from zeekfleet.node.simulator.loop import READ, WRITE, Loop
from zeekfleet.system import unix_sockets

TYPE_CHECKING = False  # defined here, because importing ``typing`` takes time; type checkers know the name
if TYPE_CHECKING:
    from typing import Any

DIAL_TIMEOUT = 5.0
HANDSHAKE_TIMEOUT = 10.0
IDLE_TIMEOUT = 30.0
"""A connection on which nothing arrives for so many seconds is given up: the agent pings every few seconds."""
DRAIN_TIMEOUT = 1.0
FIRST_DELAY = 0.05
LONGEST_DELAY = 0.5
"""The longest delay between two attempts, in seconds.

An attempt costs little, since the agent is on the same host. So a node comes back within a second after its agent.
"""
LARGEST_BACKLOG = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_IN_NAMES = frozenset("-/_.=:*@abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


class Uplink:
    """Keeps one connection to the agent.

    Args:
        loop: the node's event loop.
        link: the agent's address and port, or ``unix:PATH`` and 0.
        name: the node's name.
        connected: called for each new connection, once the agent has acknowledged the subscription.
        received: called with the name and the arguments of each event that arrives.
        log: called with a sentence when a connection is made or lost.

    Attributes:
        is_up: whether the agent has acknowledged, so that events can be sent.
    """

    def __init__(
        self,
        loop: Loop,
        link: tuple[str, int],
        name: str,
        connected: Callable[[], None],
        received: Callable[[str, list[Any]], None],
        log: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._host, self._port = link
        self._name = "".join(letter if letter in _IN_NAMES else "_" for letter in name)
        self._connected = connected
        self._received = received
        self._log = log
        self._delay = FIRST_DELAY
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self.is_up = False

    def dial(self) -> None:
        """Connect now, and again whenever the connection is lost."""
        self._unsent.clear()
        try:
            self._socket, shown, error = self._dialled()
        except OSError as problem:
            self._try_again(str(problem))
            return
        self._client = frames.ClientFrames(shown, self._name)
        self._heard = self._loop.timers.clock()
        self._watchdog = self._loop.timers.after(DIAL_TIMEOUT, lambda: self._lost("no answer in time"))
        if error == EINPROGRESS:
            self._loop.watch(self._socket, WRITE, self._dial_ended)
        elif error:
            self._lost(os.strerror(error))
        else:
            self._begin()

    def send(self, name: str, *arguments: Any) -> None:
        """Publish an event on the nodes' topic. Without a connection it is dropped."""
        if self.is_up:
            self._send(frames.frame(frames.TEXT, events.encode(name, *arguments)))

    def close(self) -> None:
        """Send a close frame, wait at most a second until everything has been sent, and close."""
        if self._socket is None:
            return
        if self._client.is_open:
            self._unsent += frames.close_frame(1000)
            try:
                self._socket.settimeout(DRAIN_TIMEOUT)
                self._socket.sendall(self._unsent)
            except OSError as error:
                self._log(f"the last messages could not be sent to the agent: {error}")
        self._drop()

    def _dialled(self) -> tuple[socket.socket, str, int]:
        """A socket that is connecting, the host for the HTTP request, and the error number of ``connect``."""
        if self._host.startswith("unix:"):
            with unix_sockets.short_path(self._host.removeprefix("unix:")) as path:
                stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                return stream, LOCALHOST, stream.connect_ex(path)
        family, kind, protocol, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0]
        stream = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        host = f"[{self._host}]" if ":" in self._host else self._host
        return stream, f"{host}:{self._port}", stream.connect_ex(address)

    def _dial_ended(self, _: int) -> None:
        if self._socket is None:
            return
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._lost(os.strerror(error))
        else:
            self._begin()

    def _begin(self) -> None:
        """The connection is there: send the WebSocket handshake."""
        self._watchdog.cancel()
        self._watchdog = self._loop.timers.after(HANDSHAKE_TIMEOUT, self._check)
        self._send(self._client.request())

    def _ready(self, happened: int) -> None:
        if happened & WRITE:
            self._flush()
        if happened & READ and self._socket is not None:
            self._read(self._socket)

    def _read(self, stream: socket.socket) -> None:
        try:
            data = stream.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(str(error))
            return
        if not data:
            self._lost("the agent closed the connection")
            return
        self._heard = self._loop.timers.clock()
        was_open = self._client.is_open
        try:
            messages = self._client.receive(data)
        except TransportError as error:
            self._lost(str(error))
            return
        if self._client.is_open and not was_open:
            self._send(frames.frame(frames.TEXT, events.SUBSCRIPTION))
        for opcode, content in messages:
            self._take(opcode, content)

    def _take(self, opcode: int, content: bytes) -> None:
        if opcode == frames.PING:
            self._send(frames.frame(frames.PONG, content))
        elif opcode == frames.CLOSE:
            self._lost(f"the agent closed the connection ({frames.close_reason(content)})")
        elif self._socket is not None:
            try:
                self._understand(content)
            except (ValueError, RecursionError) as error:
                self._log(f"cannot understand the agent: {error}")

    def _understand(self, content: bytes) -> None:
        match json.loads(content):
            case {"type": "ack"}:
                if not self.is_up:
                    self.is_up = True
                    self._log("linked to the agent")
                    self._connected()
            case {"type": "data-message", **message}:
                self._received(*events.decode(message))
            case {"type": "error", "code": code, "context": context}:
                self._log(f"the agent refused a message: {code} {context}")
            case _:
                raise ValueError("not a message")

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            return
        self._unsent += data
        self._flush()
        if len(self._unsent) > LARGEST_BACKLOG:
            self._lost("the agent does not read")

    def _flush(self) -> None:
        if self._socket is None:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(str(error))
            return
        del self._unsent[:sent]
        self._loop.watch(self._socket, READ | WRITE if self._unsent else READ, self._ready)

    def _check(self) -> None:
        """Give up a connection on which nothing has arrived for a long time."""
        silence = self._loop.timers.clock() - self._heard
        if self.is_up and silence < IDLE_TIMEOUT:
            self._watchdog = self._loop.timers.after(IDLE_TIMEOUT - silence, self._check)
        else:
            self._lost("nothing was heard from the agent")

    def _lost(self, reason: str) -> None:
        if self._socket is not None:
            was_up = self.is_up
            self._drop()
            self._try_again(reason, was_up)

    def _try_again(self, reason: str, was_up: bool = False) -> None:
        if was_up or self._delay == FIRST_DELAY:
            self._log(f"no link to the agent: {reason}")
        self._delay = FIRST_DELAY if was_up else min(2 * self._delay, LONGEST_DELAY)
        jitter = 0.5 + os.urandom(1)[0] / 512  # so that not all nodes of a host dial at once
        self._loop.timers.after(self._delay * jitter, self.dial)

    def _drop(self) -> None:
        self.is_up = False
        if self._socket is not None:
            self._watchdog.cancel()
            self._loop.forget(self._socket)
            self._socket.close()
            self._socket = None
