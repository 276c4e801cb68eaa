"""The simulated node's half of a WebSocket connection, against frames made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.broker import client_frames as frames
from zeekfleet.broker.client_frames import CLOSE, PING, TEXT, ClientFrames, Message
from zeekfleet.errors import TransportError


def server_frame(opcode: int, content: bytes, last: bool = True) -> bytes:
    length = len(content)
    if length < 126:
        size = bytes((length,))
    else:
        size = bytes((126,)) + length.to_bytes(2, "big") if length < 65536 else b"\x7f" + length.to_bytes(8, "big")
    return bytes(((0x80 if last else 0) | opcode,)) + size + content


def opened() -> tuple[ClientFrames, bytes]:
    client = ClientFrames("localhost", "w")
    request = client.request().decode()
    assert request.startswith("GET /v1/messages/json HTTP/1.1\r\n")
    assert "X-Application-Name: w\r\n" in request
    key = request.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
    head = f"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {frames.accept_value(key)}\r\n\r\n"
    return client, head.encode()


def unmasked(frame: bytes) -> tuple[int, bytes]:
    """Opcode and content of a client's frame, as RFC 6455 has them."""
    assert frame[0] & 0x80
    assert frame[1] & 0x80
    length, start = frame[1] & 0x7F, 2
    if length >= 126:
        start = 4 if length == 126 else 10
        length = int.from_bytes(frame[2:start], "big")
    mask, content = frame[start : start + 4], frame[start + 4 :]
    assert len(content) == length
    return frame[0] & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))


MESSAGES = st.one_of(
    st.tuples(st.just(TEXT), st.binary(max_size=300)),
    st.tuples(st.just(PING), st.binary(max_size=125)),
)


@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(1, 40), max_size=30), st.integers(1, 5))
def test_however_the_bytes_come_the_messages_are_the_same(messages: list[Message], cuts: list[int], parts: int) -> None:
    client, data = opened()
    for opcode, content in messages:
        if opcode == PING:
            data += server_frame(PING, content)
        else:
            step = max(1, len(content) // parts)
            pieces = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
            for number, piece in enumerate(pieces):
                part = TEXT if number == 0 else frames.CONTINUATION
                data += server_frame(part, piece, last=number == len(pieces) - 1)
                # Control frames may come between the parts of a message.
                data += server_frame(frames.PONG, b"")
    goodbye = (1001).to_bytes(2, "big") + b"bye"
    data += server_frame(CLOSE, goodbye)
    arrivals: list[Message] = []
    for cut in cuts:
        arrivals += client.receive(data[:cut])
        data = data[cut:]
    arrivals += client.receive(data)
    assert client.is_open
    assert arrivals == [*messages, (CLOSE, goodbye)]


def test_why_a_server_closes() -> None:
    assert frames.close_reason((1001).to_bytes(2, "big") + b"bye") == "1001 bye"
    assert frames.close_reason(b"") == "1005"


@given(st.binary(max_size=70_000))
def test_what_is_sent_can_be_read_by_a_server(content: bytes) -> None:
    assert unmasked(frames.frame(frames.TEXT, content)) == (frames.TEXT, content)


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_lengths_at_the_edges(length: int) -> None:
    content = bytes(length)
    assert unmasked(frames.frame(frames.TEXT, content)) == (frames.TEXT, content)
    client, head = opened()
    assert client.receive(head + server_frame(frames.TEXT, content)) == [(TEXT, content)]


@given(st.binary(max_size=400))
def test_any_bytes_give_arrivals_or_the_one_error(data: bytes) -> None:
    client, head = opened()
    try:
        client.receive(head + data)
    except TransportError:
        return


@given(st.binary(max_size=400))
def test_any_answer_to_the_request_gives_the_one_error_or_nothing(data: bytes) -> None:
    client, _ = opened()
    try:
        assert client.receive(data) == []
    except TransportError:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"x" * (frames.LARGEST_HEAD + 1),
    ],
    ids=["404", "accept", "endless"],
)
def test_an_answer_that_is_no_upgrade(data: bytes) -> None:
    client, _ = opened()
    with pytest.raises(TransportError):
        client.receive(data)


@pytest.mark.parametrize(
    "data",
    [
        bytes((0x81, 127)) + (frames.LARGEST_MESSAGE + 1).to_bytes(8, "big"),
        bytes((0x81, 0x81)) + b"mask!",
        server_frame(frames.CONTINUATION, b"of nothing"),
        server_frame(frames.TEXT, b"first", last=False) + server_frame(frames.TEXT, b"second"),
        server_frame(frames.BINARY, b"bytes"),
        bytes((0xC1, 0)),
    ],
    ids=["too large", "masked", "continuation", "text in text", "binary", "reserved bit"],
)
def test_frames_that_a_server_must_not_send(data: bytes) -> None:
    client, head = opened()
    with pytest.raises(TransportError):
        client.receive(head + data)
