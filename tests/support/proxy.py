"""A TCP proxy that breaks connections in the ways networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

_CHUNK = 65536


class FaultyProxy:
    """Stands between a client and a server on loopback.

        async with FaultyProxy("127.0.0.1", port) as proxy:
            endpoint.dial("127.0.0.1", proxy.port)
            proxy.stall()      # bytes stay where they are, connections stay open
            proxy.flow()       # they go on
            proxy.drop()       # every connection is reset
            await proxy.refuse(); await proxy.accept()   # nobody listens; somebody does again
            proxy.cut_after(100)   # connections end within a message

    Attributes:
        port: where it listens.
        accepted: connections it has accepted so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pairs: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._budget: int | None = None
        self.port = 0
        self.accepted = 0

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        self.drop()
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def accept(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Listen no more; open connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def stall(self) -> None:
        """Hold all bytes back, in both directions."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let bytes pass again."""
        self._flowing.set()

    def drop(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()

    def cut_after(self, size: int | None) -> None:
        """Reset connections when so many more bytes have passed, all directions taken together; None: never."""
        self._budget = size

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        if task is not None:
            self._pairs.add(task)
            task.add_done_callback(self._pairs.discard)
        try:
            onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward_writer}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, onward_writer))
                both.create_task(self._pump(onward_reader, writer))
        finally:
            self._writers -= {writer, onward_writer}
            writer.close()
            onward_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self._budget is not None:
                    data = data[: self._budget]
                    self._budget -= len(data)
                writer.write(data)
                await writer.drain()
                if self._budget == 0:
                    self.drop()
                    return
            if writer.can_write_eof():
                writer.write_eof()
