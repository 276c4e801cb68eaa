"""WebSocket frames as bytes (RFC 6455, section 5.2): always whole, never compressed."""

from __future__ import annotations

import random
import struct

TEXT, PING, PONG = 0x1, 0x9, 0xA

_FINAL = 0x80
_MASKED = 0x80


def _header(opcode: int, length: int, masked: int) -> bytes:
    if length < 126:
        return bytes((_FINAL | opcode, masked | length))
    if length < 65536:
        return struct.pack("!BBH", _FINAL | opcode, masked | 126, length)
    return struct.pack("!BBQ", _FINAL | opcode, masked | 127, length)


def server_frame(opcode: int, payload: bytes) -> bytes:
    """A frame from a server: unmasked."""
    return _header(opcode, len(payload), 0) + payload


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A frame from a client: masked with a fresh key, as intermediaries must not be able to guess the bytes."""
    length = len(payload)
    key = random.getrandbits(32).to_bytes(4, "big")
    pad = (key * (length // 4 + 1))[:length]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(length, "big")
    return _header(opcode, length, _MASKED) + key + masked
