"""WebSocket messages and their frames (RFC 6455, section 5), as bytes, for either side; no I/O.

Daemons and simulated nodes use it in place of a library: there may be a thousand
of the latter on a host, and each library takes longer to import than the rest
of a node. So this module, too, imports little. Messages are sent in one frame
each and never compressed.
"""

from __future__ import annotations

import os

from zeekfleet.errors import WebSocketError

TYPE_CHECKING = False  # as ``typing`` has it, without the time to import that
if TYPE_CHECKING:
    from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NO_CODE = 1005
"""Stands for the code of a close frame that has none."""

PROTOCOL_ERROR = 1002
TOO_LARGE = 1009

CONTROL_MAX = 125
"""Bytes that a ping, pong or close frame may have."""

REASON_MAX = CONTROL_MAX - 2

_FINAL = 0x80
_RESERVED = 0x70
_MASKED = 0x80
_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
_LARGE = 4096
_EVERY_BYTE = bytes(range(256))


Message = tuple[int, bytes]
"""``TEXT`` or ``BINARY`` and a whole message, or ``PING``, ``PONG`` or ``CLOSE`` and its content."""


class FrameReader:
    """Puts together the messages of one connection from its bytes.

    Args:
        limit: the largest message accepted, in bytes.
        masked: whether the peer is a client: these mask their frames, servers do not.
    """

    def __init__(self, limit: int, *, masked: bool) -> None:
        self._limit = limit
        self._masked = masked
        self._rest = bytearray()
        self._opcode = CONTINUATION
        self._fragments = bytearray()

    def receive(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete, to be taken to the end.

        Raises:
            WebSocketError: after them: the peer breaks the protocol; nothing more can be understood.
        """
        buffer: bytes | bytearray = data
        if self._rest:
            self._rest += data
            buffer = self._rest
        start = 0
        while (header := self._header(buffer, start)) is not None:
            opcode, is_final, begin, end = header
            if self._masked:
                content = masked(buffer[begin + 4 : end], buffer[begin : begin + 4])
            else:
                content = bytes(buffer[begin:end])
            start = end
            if opcode >= CLOSE or (is_final and opcode != CONTINUATION):
                yield opcode, content
            else:
                self._opcode = opcode or self._opcode
                self._fragments += content
                if is_final:
                    whole = self._opcode, bytes(self._fragments)
                    self._opcode = CONTINUATION
                    self._fragments.clear()
                    yield whole
        if buffer is self._rest:
            del self._rest[:start]
        else:
            self._rest += data[start:]

    def _header(self, buffer: bytes | bytearray, start: int) -> tuple[int, bool, int, int] | None:
        """Opcode, whether it is the last of its message, where key and content begin, and end; None if incomplete."""
        available = len(buffer) - start
        if available < 2:
            return None
        first, second = buffer[start], buffer[start + 1]
        opcode, length, begin = first & 0x0F, second & 0x7F, start + 2
        if length > CONTROL_MAX:
            begin += 2 if length == 126 else 8
            if len(buffer) < begin:
                return None
            length = int.from_bytes(buffer[start + 2 : begin], "big")
        self._check(first, second, opcode, length)
        end = begin + length + (4 if self._masked else 0)
        return (opcode, first >= _FINAL, begin, end) if len(buffer) >= end else None

    def _check(self, first: int, second: int, opcode: int, length: int) -> None:
        if first & _RESERVED:
            raise WebSocketError(PROTOCOL_ERROR, "a frame with reserved bits")
        if (second >= _MASKED) is not self._masked:
            raise WebSocketError(PROTOCOL_ERROR, "a frame without a mask" if self._masked else "a frame with a mask")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise WebSocketError(PROTOCOL_ERROR, f"a frame of unknown kind {opcode}")
            if length > CONTROL_MAX or first < _FINAL:
                raise WebSocketError(PROTOCOL_ERROR, "a ping, pong or close that is too long or in fragments")
            return
        if opcode > BINARY:
            raise WebSocketError(PROTOCOL_ERROR, f"a frame of unknown kind {opcode}")
        if (opcode == CONTINUATION) is not (self._opcode != CONTINUATION):
            raise WebSocketError(PROTOCOL_ERROR, "the fragments of a message are not in order")
        if length + len(self._fragments) > self._limit:
            raise WebSocketError(TOO_LARGE, f"a message of more than {self._limit} bytes")


def server_frame(opcode: int, content: bytes) -> bytes:
    """A frame from a server: not masked."""
    return _begin(opcode, len(content), 0) + content


def client_frame(opcode: int, content: bytes) -> bytes:
    """A frame from a client, masked with a new key, so that a web page cannot choose the bytes that proxies see."""
    key = os.urandom(4)
    return _begin(opcode, len(content), _MASKED) + key + masked(content, key)


def close_content(code: int, reason: str) -> bytes:
    """What a close frame has to say; a reason that is too long is cut."""
    return code.to_bytes(2, "big") + reason.encode()[:REASON_MAX].decode(errors="ignore").encode()


def close_told(content: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; :data:`NO_CODE` if it has none.

    Raises:
        WebSocketError: these are none.
    """
    if not content:
        return NO_CODE, ""
    code = int.from_bytes(content[:2], "big")
    if len(content) < 2 or code not in _CODES:
        raise WebSocketError(PROTOCOL_ERROR, "a close with a code that does not exist")
    return code, content[2:].decode(errors="replace")


def masked(content: bytes | bytearray, key: bytes | bytearray) -> bytes:
    """The content combined with a key of four bytes, by which it is masked, and unmasked."""
    length = len(content)
    if length < _LARGE:
        pad = (key * (length // 4 + 1))[:length]
        return (int.from_bytes(content, "big") ^ int.from_bytes(pad, "big")).to_bytes(length, "big")
    # Numbers of that length take twice the time.
    result = bytearray(length)
    for place, byte in enumerate(key):
        result[place::4] = content[place::4].translate(masked(_EVERY_BYTE, bytes((byte,)) * 4))
    return bytes(result)


def _begin(opcode: int, length: int, mask: int) -> bytes:
    first = bytes((_FINAL | opcode,))
    if length <= CONTROL_MAX:
        return first + bytes((mask | length,))
    if length < 65536:
        return first + bytes((mask | 126,)) + length.to_bytes(2, "big")
    return first + bytes((mask | 127,)) + length.to_bytes(8, "big")
