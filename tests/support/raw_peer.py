"""A WebSocket peer that does exactly what it is told, however wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from types import TracebackType
from typing import Any, Self

from zeekfleet.broker.client_frames import PATH

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


def client_frame(opcode: int, content: bytes) -> bytes:
    """A whole message in one frame, as a client sends it, of any opcode; the mask is zero and changes nothing."""
    length = len(content)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
    return head + bytes(4) + content


class RawPeer:
    """One TCP connection to a listener on loopback.

    async with RawPeer(port) as peer:
        await peer.upgrade()
        peer.text('["zeek/management"]')
        assert (await peer.message())["type"] == "ack"
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**26)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    @property
    def reader(self) -> asyncio.StreamReader:
        """What the listener sends."""
        assert self._reader is not None
        return self._reader

    @property
    def writer(self) -> asyncio.StreamWriter:
        """What is sent to it."""
        assert self._writer is not None
        return self._writer

    async def upgrade(self, path: str = PATH, **headers: str) -> str:
        """Ask for a WebSocket, and give the head of the response."""
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        self.raw("\r\n".join([*lines, "", ""]).encode())
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def subscribe(self, *prefixes: str) -> dict[str, Any]:
        """Upgrade, subscribe, and give the acknowledgement."""
        await self.upgrade()
        self.text(json.dumps(prefixes))
        return await self.message()

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def text(self, text: str | bytes, opcode: int = TEXT) -> None:
        """Send one frame."""
        self.raw(client_frame(opcode, text.encode() if isinstance(text, str) else text))

    def end(self) -> None:
        """Send no more; nothing happens if the listener has closed already."""
        with contextlib.suppress(OSError):
            self.writer.write_eof()

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload.

        Raises:
            asyncio.IncompleteReadError: the connection has ended.
        """
        first, length = await self.reader.readexactly(2)
        if length >= 126:
            size = 2 if length == 126 else 8
            (length,) = struct.unpack("!H" if size == 2 else "!Q", await self.reader.readexactly(size))
        return first & 0xF, await self.reader.readexactly(length)

    async def message(self) -> dict[str, Any]:
        """The next text frame's JSON, within ten seconds."""
        async with asyncio.timeout(10):
            while True:
                opcode, payload = await self.frame()
                if opcode == TEXT:
                    message: dict[str, Any] = json.loads(payload)
                    return message

    async def close_code(self) -> int:
        """The code that the connection is closed with, within ten seconds."""
        async with asyncio.timeout(10):
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    return int(struct.unpack("!H", payload[:2])[0])

    async def ended(self) -> bytes:
        """What still comes until the listener ends the connection, within ten seconds."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read(-1)
            except ConnectionError:
                return b""
