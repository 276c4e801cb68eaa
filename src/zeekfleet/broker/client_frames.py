"""The client's side of a WebSocket connection (RFC 6455) without I/O: bytes go in, messages come out.

Simulated nodes and the command line use this instead of a WebSocket library: importing a
library takes longer than the whole start of a node, and a third of the time of a command.
"""

from __future__ import annotations

import binascii
import os

from zeekfleet.errors import TransportError

try:
    from _sha1 import sha1  # type: ignore[import-not-found]  # hashlib loads OpenSSL: 4 ms and 3 MiB a node
except ImportError:
    from hashlib import sha1

LARGEST_MESSAGE = 16 * 1024 * 1024
LARGEST_HEAD = 16 * 1024
PATH = "/v1/messages/json"

NAME = "X-Application-Name"
"""The header field that says what its sender calls itself (docs/protocol.md, section 2)."""

LIMIT = "X-Zeekfleet-Frame-Limit"
"""The one that has the largest frame that its sender accepts, in bytes; both sides tell it."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_ACCEPT_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


Message = tuple[int, bytes]
"""Opcode and content: ``TEXT`` and a whole message, ``PING`` and the pong's content, ``CLOSE`` and its content."""


class RefusedError(TransportError):
    """The server does not accept the WebSocket handshake.

    Attributes:
        status: the HTTP status; 0 if the answer is not HTTP.
        body: the body of the answer.
    """

    def __init__(self, line: str, status: int, body: str) -> None:
        self.status = status
        self.body = body
        super().__init__(f"no WebSocket there: {line}")


class ClientFrames:
    """One connection, from the handshake on.

    Args:
        host: the value of the ``Host`` header, as in a URL.
        name: the value of ``X-Application-Name``.
        largest: the most bytes of a message that is accepted.

    Attributes:
        is_open: whether the server has accepted the handshake.
        fields: the headers of its answer, by names in lower case.
    """

    def __init__(self, host: str, name: str, largest: int = LARGEST_MESSAGE) -> None:
        self.is_open = False
        self.fields: dict[str, str] = {}
        self._largest = largest
        self._key = _base64(os.urandom(16))
        self._host = host
        self._name = name
        self._buffer = bytearray()
        self._message = bytearray()
        self._within_message = False

    def request(self) -> bytes:
        """The HTTP request for the handshake."""
        lines = (
            f"GET {PATH} HTTP/1.1",
            f"Host: {self._host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {self._key}",
            "Sec-WebSocket-Version: 13",
            f"{NAME}: {self._name}",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def receive(self, data: bytes) -> list[Message]:
        """The messages that the bytes complete.

        Raises:
            RefusedError: the server does not accept the handshake.
            TransportError: it violates the protocol, or sends a message that is too large.
        """
        self._buffer += data
        messages: list[Message] = []
        if not self.is_open:
            if not self._head_is_complete():
                return messages
            self.is_open = True
        while (frame := self._next_frame()) is not None:
            message = self._message_of(*frame)
            if message is not None:
                messages.append(message)
        return messages

    def _head_is_complete(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > LARGEST_HEAD:
                raise TransportError("the answer to the WebSocket request is too long")
            return False
        line, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        self.fields = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        if (status := line.split(" ")[1:2]) != ["101"]:
            size = self.fields.get("content-length", "0")
            whole = end + 4 + min(int(size) if size.isdecimal() else 0, LARGEST_HEAD)
            if len(self._buffer) < whole:
                return False
            code = int(status[0]) if status and status[0].isdecimal() else 0
            raise RefusedError(line[:100], code, bytes(self._buffer[end + 4 : whole]).decode(errors="replace"))
        del self._buffer[: end + 4]
        if self.fields.get("sec-websocket-accept") != accept_value(self._key):
            raise TransportError("no WebSocket there: wrong Sec-WebSocket-Accept")
        return True

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        """Opcode, whether it is the last of its message, and content of the next frame; None if that is incomplete."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if buffer[0] & 0x70 or buffer[1] & 0x80:
            raise TransportError("the server sent a frame that a server must not send")
        if length + len(self._message) > self._largest:
            raise TransportError(f"the server sent more than {self._largest} bytes in one message")
        if len(buffer) < start + length:
            return None
        opcode, last = buffer[0] & 0x0F, bool(buffer[0] & 0x80)
        content = bytes(buffer[start : start + length])
        del buffer[: start + length]
        return opcode, last, content

    def _message_of(self, opcode: int, last: bool, content: bytes) -> Message | None:
        """The message that a frame completes; None if it completes none."""
        if opcode in (CLOSE, PING):
            return opcode, content
        if opcode == PONG:
            return None
        if opcode not in (TEXT, CONTINUATION) or (opcode == CONTINUATION) != self._within_message:
            raise TransportError(f"the server sent an unexpected frame (opcode {opcode})")
        self._message += content
        self._within_message = not last
        if not last:
            return None
        whole = bytes(self._message)
        self._message.clear()
        return TEXT, whole


def close_reason(content: bytes) -> str:
    """Code and reason of a close frame, for a person."""
    code = int.from_bytes(content[:2], "big") if len(content) >= 2 else 1005
    return f"{code} {content[2:].decode('utf-8', 'replace')}".rstrip()


def accept_value(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` with which a server answers a ``Sec-WebSocket-Key``."""
    return _base64(sha1((key + _ACCEPT_SALT).encode(), usedforsecurity=False).digest())


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def frame(opcode: int, content: bytes) -> bytes:
    """A whole frame from client to server, masked."""
    length = len(content)
    if length < 126:
        size = bytes((0x80 | length,))
    elif length < 65536:
        size = bytes((0x80 | 126,)) + length.to_bytes(2, "big")
    else:
        size = bytes((0x80 | 127,)) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    pattern = (mask * (length // 4 + 1))[:length]
    masked = (int.from_bytes(content, "big") ^ int.from_bytes(pattern, "big")).to_bytes(length, "big")
    return bytes((0x80 | opcode,)) + size + mask + masked


def close_frame(code: int) -> bytes:
    """A close frame."""
    return frame(CLOSE, code.to_bytes(2, "big"))
