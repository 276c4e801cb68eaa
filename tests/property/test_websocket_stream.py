"""However the bytes of a connection come, its messages are the same."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, Side
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unfinished_frames import UnfinishedFrames
from zeekfleet.transport.websocket_stream import WebSocketStream
from zeekfleet.transport.whole_texts import size_of, whole_texts

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
        super().__init__(self._server, TransportSettings(), TransportMetrics(), UnfinishedFrames(2**20))

    def shake_hands(self, event: Request | Response) -> None:
        assert isinstance(event, Request)
        self._server.send_response(self._server.accept(event))

    def cannot_shake_hands(self, error: Exception) -> None:
        raise AssertionError(error)


def frames(kind: Opcode, content: bytes, count: int, between: bytes) -> bytes:
    """A message in at most so many frames, with something after each."""
    step = max(1, -(-len(content) // count))
    parts = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
    written = b""
    for place, part in enumerate(parts):
        opcode = kind if place == 0 else Opcode.CONT
        written += Frame(opcode, part, fin=place == len(parts) - 1).serialize(mask=True)
        written += between
    return written


PING = Frame(Opcode.PING, b"?").serialize(mask=True)
LONG_WINDED = b"\x8a\xfe\x00\x01mask?"
"""A pong of one byte, whose length is written in more bytes than it takes."""


@given(MESSAGES, CUTS, st.sampled_from([b"", PING, LONG_WINDED]))
def test_messages_come_out_as_they_went_in(
    messages: list[tuple[Opcode, bytes, int]], cuts: list[int], between: bytes
) -> None:
    async def converse() -> None:
        client = ClientProtocol(parse_uri("ws://localhost/"))
        client.send_request(client.connect())
        data = b"".join(client.data_to_send()) + b"".join(frames(*message, between) for message in messages)
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


@given(
    st.lists(st.binary(max_size=300) | st.integers(65_530, 65_540).map(bytes), max_size=5),
    st.binary(max_size=20),
    st.booleans(),
    st.integers(0, 70_000),
)
def test_whole_texts_are_read_as_the_library_reads_them(
    contents: list[bytes], rest: bytes, masked: bool, limit: int
) -> None:
    data = b"".join(Frame(Opcode.TEXT, content).serialize(mask=masked) for content in contents) + rest
    found = list(whole_texts(data, masked, limit))
    library = Protocol(Side.SERVER if masked else Side.CLIENT, max_size=limit)
    library.receive_data(data[: found[-1][1]] if found else b"")
    read = [event for event in library.events_received() if isinstance(event, Frame)]
    assert [bytes(frame.data) for frame in read] == [content for content, _ in found]
    assert sum(size_of(frame, masked) for frame in read) == (found[-1][1] if found else 0)
    usual = [len(content) < 65_536 and len(content) <= limit for content in contents]
    assert len(found) >= (usual.index(False) if False in usual else len(usual))
