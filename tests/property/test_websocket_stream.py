"""However the bytes of a connection come, its messages are the same."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket_stream import WebSocketStream

KINDS = st.sampled_from([Opcode.TEXT, Opcode.BINARY])
MESSAGES = st.lists(st.tuples(KINDS, st.binary(max_size=300), st.integers(1, 4)), max_size=5)
CUTS = st.lists(st.integers(1, 400), max_size=60)


class WrittenTo(asyncio.Transport):
    """A transport whose other end reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Not heeded."""

    def resume_reading(self) -> None:
        """Not heeded."""


class Accepting(WebSocketStream):
    """The server's side, which takes everybody."""

    def __init__(self) -> None:
        self._server = ServerProtocol()
        super().__init__(self._server, TransportSettings(), TransportMetrics())

    def shake_hands(self, event: Request | Response) -> None:
        assert isinstance(event, Request)
        self._server.send_response(self._server.accept(event))

    def cannot_shake_hands(self, error: Exception) -> None:
        raise AssertionError(error)


def frames(kind: Opcode, content: bytes, count: int) -> bytes:
    """A message in at most so many frames, a ping after each."""
    step = max(1, -(-len(content) // count))
    parts = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
    written = b""
    for place, part in enumerate(parts):
        opcode = kind if place == 0 else Opcode.CONT
        written += Frame(opcode, part, fin=place == len(parts) - 1).serialize(mask=True)
        written += Frame(Opcode.PING, b"?").serialize(mask=True)
    return written


@given(MESSAGES, CUTS)
def test_messages_come_out_as_they_went_in(messages: list[tuple[Opcode, bytes, int]], cuts: list[int]) -> None:
    async def converse() -> None:
        client = ClientProtocol(parse_uri("ws://localhost/"))
        client.send_request(client.connect())
        data = b"".join(client.data_to_send()) + b"".join(frames(*message) for message in messages)
        stream, transport = Accepting(), WrittenTo()
        stream.connection_made(transport)
        for size in cuts:
            if data[:size]:
                stream.data_received(data[:size])
            data = data[size:]
        if data:
            stream.data_received(data)
        for kind, content, _ in messages:
            assert await stream.receive() == (content if kind is Opcode.TEXT else None)
        assert transport.written.startswith(b"HTTP/1.1 101 ")  # no pong comes before it

    asyncio.run(converse())
