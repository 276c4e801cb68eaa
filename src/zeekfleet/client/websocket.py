"""A WebSocket connection whose calls block, for commands that must start fast."""

from __future__ import annotations

import socket
import ssl
import sys
import time

from zeekfleet.broker.client_frames import CLOSE, PING, PONG, TEXT, ClientFrames, close_frame, frame
from zeekfleet.errors import TransportError
from zeekfleet.model.texts import one_line

READ_SIZE = 256 * 1024

LARGEST_MESSAGE = 2**30
"""The most bytes of a message: no controller can be configured to send a larger one."""

NORMAL_CLOSURE = 1000


class ClosedError(TransportError):
    """The other side has closed the connection properly; the text is its reason."""


class WebSocket:
    """One connection.

    Args:
        host: the other side, as in a URL.
        connection: a socket that is connected to it; this object closes it.
        name: the value of ``X-Application-Name``.
        timeout: seconds for the handshake.

    Raises:
        OSError: the connection is lost; a TimeoutError if there was no answer in time.
        RefusedError: the other side does not accept the handshake.
        TransportError: what it speaks is not WebSocket.
    """

    is_traced = False
    """Whether all that goes over the wire is shown on standard error."""

    def __init__(self, host: str, connection: socket.socket, name: str, timeout: float) -> None:
        self._connection = connection
        self._frames = ClientFrames(host, name, LARGEST_MESSAGE)
        self._texts: list[bytes] = []
        self._closed_by: ClosedError | None = None
        try:
            self._upgrade(time.monotonic() + timeout)
        except BaseException:
            connection.close()
            raise

    @property
    def fields(self) -> dict[str, str]:
        """The header fields of the answer to the upgrade, by names in lower case."""
        return self._frames.fields

    def send(self, text: bytes) -> None:
        """Send a text message.

        Raises:
            OSError: the connection is lost.
        """
        if self._closed_by is not None:
            raise ConnectionError("the connection is closed")
        self._send(frame(TEXT, text), text)

    def receive(self, timeout: float) -> bytes | None:
        """The next message; None if none came within ``timeout`` seconds.

        Raises:
            OSError: the connection is lost.
            TransportError: the other side has closed it, or violates the protocol.
        """
        deadline = time.monotonic() + timeout
        while not self._texts:
            if self._closed_by is not None:
                raise self._closed_by
            if not self._read(deadline):
                return None
        return self._texts.pop(0)

    def close(self) -> None:
        """Close without waiting for the other side."""
        try:
            if self._closed_by is None:
                self._connection.settimeout(0.0)
                self._send(close_frame(NORMAL_CLOSURE))
        except OSError:
            pass  # it is gone, or does not read
        finally:
            self._connection.close()

    def _upgrade(self, deadline: float) -> None:
        self._send(self._frames.request())
        while not self._frames.is_open:
            if not self._read(deadline):
                raise TimeoutError("timed out")

    def _read(self, deadline: float) -> bool:
        """Read what arrives next. Returns False if nothing arrived in time."""
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
        for opcode, content in self._frames.receive(data):
            if opcode == TEXT:
                self._trace("<", content)
                self._texts.append(content)
            elif opcode == PING:
                self._send(frame(PONG, content))
            elif opcode == CLOSE and self._closed_by is None:
                self._closed_by = ClosedError(content[2:].decode(errors="replace"))
        return True

    def _send(self, data: bytes, shown: bytes = b"") -> None:
        self._trace(">", shown)
        self._connection.sendall(data)

    def _trace(self, direction: str, text: bytes) -> None:
        if self.is_traced and text:
            sys.stderr.write(f"{direction} {one_line(text.decode(errors='backslashreplace'))}\n")


def trace() -> None:
    """Show all messages that are sent and received on standard error."""
    WebSocket.is_traced = True


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
