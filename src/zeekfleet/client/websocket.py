"""A WebSocket connection whose calls block, for commands that must start fast.

What goes over the wire is the business of the library ``websockets``, of which the half without I/O is imported
in a few milliseconds.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import SEND_EOF, Event, State
from websockets.uri import parse_uri

from zeekfleet.errors import TransportError

LIBRARY = logging.getLogger("websockets.client")
LIBRARY.setLevel(logging.ERROR)

READ_SIZE = 256 * 1024


class RefusedError(TransportError):
    """The other side does not grant the upgrade.

    Attributes:
        status: of HTTP.
        body: what it says.
    """

    def __init__(self, status: int, body: str) -> None:
        self.status = status
        self.body = body
        super().__init__(f"no WebSocket is spoken there: HTTP status {status}")


class ClosedError(TransportError):
    """The other side has closed the connection properly; the text is its reason."""


class WebSocket:
    """One connection.

    Args:
        url: of the other side.
        connection: connected to it; it is ours from now on.
        fields: what to tell about ourselves in the upgrade.
        timeout: seconds for the upgrade.

    Attributes:
        headers: of the answer to the upgrade.

    Raises:
        OSError: the connection is lost; a TimeoutError if there was no answer in time.
        TransportError: no WebSocket is spoken there, or not to us.
    """

    def __init__(self, url: str, connection: socket.socket, fields: Mapping[str, str], timeout: float) -> None:
        self._connection = connection
        self._protocol = ClientProtocol(parse_uri(url), max_size=None, logger=LIBRARY)
        self._events: list[Event] = []
        self._parts: list[bytes] = []
        request = self._protocol.connect()
        request.headers.update(fields)
        self._protocol.send_request(request)
        try:
            self._flush()
            self.headers = self._upgraded(time.monotonic() + timeout)
        except BaseException:
            connection.close()
            raise

    def send(self, text: bytes) -> None:
        """Send a text message.

        Raises:
            OSError: the connection is lost.
        """
        if self._protocol.state is not State.OPEN:
            raise ConnectionError("the connection is closed")
        self._protocol.send_text(text)
        self._flush()

    def receive(self, timeout: float) -> bytes | None:
        """The next message; None if none came within ``timeout`` seconds.

        Raises:
            OSError: the connection is lost.
            TransportError: the other side has closed it, or does not speak as it should.
        """
        deadline = time.monotonic() + timeout
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, Frame) and (message := self._whole(event)) is not None:
                    return message
            if (error := self._protocol.parser_exc) is not None:
                raise TransportError(str(error))
            if not self._read(deadline):
                return None

    def close(self) -> None:
        """Close without waiting for the other side."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close()
                self._connection.settimeout(0.0)
                self._flush()
        except OSError:
            pass  # it is gone, or does not read
        finally:
            self._connection.close()

    def _whole(self, frame: Frame) -> bytes | None:
        """The message that a frame completes, if it does."""
        if frame.opcode is Opcode.CLOSE:
            raise ClosedError(Close.parse(frame.data).reason)
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole

    def _upgraded(self, deadline: float) -> Headers:
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            if not self._read(deadline):
                raise TimeoutError("timed out")
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            body = bytes(error.response.body or b"").decode(errors="replace")
            raise RefusedError(error.response.status_code, body)
        if error is not None:
            raise TransportError(f"no WebSocket is spoken there: {error}")
        answer = self._events.pop(0)
        return Headers() if isinstance(answer, Frame) else answer.headers

    def _read(self, deadline: float) -> bool:
        """Take what comes next; whether that was in time."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        self._connection.settimeout(left)
        try:
            data = self._connection.recv(READ_SIZE)
        except TimeoutError:
            return False
        if not data:
            raise ConnectionResetError("the other side has gone")
        self._protocol.receive_data(data)
        self._events += self._protocol.events_received()
        self._flush()
        return True

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data != SEND_EOF:
                self._connection.sendall(data)


def trace() -> None:
    """Show on standard error what goes over the wire."""
    LIBRARY.setLevel(logging.DEBUG)
    LIBRARY.addHandler(logging.StreamHandler())


def open_connection(host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> socket.socket:
    """Connect to an address, without brackets, or name.

    Raises:
        OSError: there is no connection within ``timeout`` seconds.
    """
    connection = socket.create_connection((host, port), timeout)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection if tls is None else tls.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
