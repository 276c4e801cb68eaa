"""Our WebSocket and another implementation read what the other writes, however the bytes are split."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from zeekfleet.errors import TransportError, WebSocketError
from zeekfleet.transport import frames, upgrade
from zeekfleet.transport.frames import FrameReader, Message
from zeekfleet.transport.upgrade import Head, HeadReader

LIMIT = 10_000
CONTENTS = st.binary(max_size=300) | st.integers(120, 8000).map(lambda size: bytes(range(256)) * (size // 256 + 1))
MESSAGES = st.tuples(st.sampled_from([frames.TEXT, frames.BINARY]), CONTENTS) | st.tuples(
    st.sampled_from([frames.PING, frames.PONG]), st.binary(max_size=125)
)
CUTS = st.lists(st.integers(1, 400), max_size=60)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    cut = []
    for size in sizes:
        cut.append(data[:size])
        data = data[size:]
    return [piece for piece in [*cut, data] if piece]


def fragments(message: Message, count: int, masked: bool) -> bytes:
    """The message in so many frames of the other implementation."""
    step = max(1, -(-len(message[1]) // count))
    parts = [message[1][at : at + step] for at in range(0, len(message[1]), step)] or [b""]
    if message[0] >= frames.CLOSE:
        parts = [message[1]]
    written = b""
    for place, part in enumerate(parts):
        opcode = Opcode(message[0]) if place == 0 else Opcode.CONT
        written += Frame(opcode, part, fin=place == len(parts) - 1).serialize(mask=masked)
    return written


@given(st.lists(MESSAGES, max_size=5), CUTS, st.integers(1, 5), st.booleans())
def test_frames_of_the_other_implementation_are_read(
    messages: list[Message], cuts: list[int], count: int, masked: bool
) -> None:
    data = b"".join(fragments(message, count, masked) for message in messages)
    reader = FrameReader(LIMIT, masked=masked)
    assert [message for piece in pieces(data, cuts) for message in reader.receive(piece)] == messages


@given(st.lists(MESSAGES, max_size=5), st.booleans())
def test_the_other_implementation_reads_our_frames(messages: list[Message], dialled: bool) -> None:
    other = Protocol(SERVER if dialled else CLIENT, state=OPEN, max_size=LIMIT)
    write = frames.client_frame if dialled else frames.server_frame
    for message in messages:
        other.receive_data(write(*message))
    assert other.parser_exc is None
    assert [(frame.opcode, bytes(frame.data)) for frame in other.events_received()] == messages


def odd_frame(first: int, content: bytes, masked: bool) -> bytes:
    """A frame whose first byte is anything, and that may lack the mask."""
    frame = bytearray((frames.client_frame if masked else frames.server_frame)(frames.TEXT, content))
    frame[0] = first
    return bytes(frame)


ODD = st.builds(
    odd_frame,
    st.integers(0, 255).filter(lambda first: first & 0xF != frames.CLOSE)
    | st.sampled_from([0x81, 0x01, 0x00, 0x80, 0x89]),
    CONTENTS,
    st.sampled_from([True, True, True, True, False]),
)


@given(st.lists(ODD, max_size=5), CUTS)
def test_both_give_up_at_the_same_frame_with_the_same_code(odd: list[bytes], cuts: list[int]) -> None:
    other = Protocol(SERVER, state=OPEN, max_size=10 * LIMIT)
    reader = FrameReader(10 * LIMIT, masked=True)
    ours = 0
    for frame in odd:
        other.receive_data(frame)
        code = None
        try:
            for piece in pieces(frame, cuts):
                for _ in reader.receive(piece):
                    ours += 1
        except WebSocketError as error:
            code = error.code
        assert code == (other.close_sent.code if other.close_sent is not None else None)
        if code is not None:
            break
    assert ours == len([frame for frame in other.events_received() if isinstance(frame, Frame) and frame.fin])


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
@pytest.mark.parametrize("masked", [True, False])
def test_lengths_at_the_edges(length: int, masked: bool) -> None:
    content = bytes(length)
    frame = (frames.client_frame if masked else frames.server_frame)(frames.TEXT, content)
    assert list(FrameReader(65536, masked=masked).receive(frame)) == [(frames.TEXT, content)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bytes((0x81, 127)) + (LIMIT + 1).to_bytes(8, "big"), frames.TOO_LARGE),
        (bytes((0x01, 1)) + b"x" + bytes((0x80, 126)) + LIMIT.to_bytes(2, "big"), frames.TOO_LARGE),
        (bytes((0x81, 0x81)) + b"mask!", frames.PROTOCOL_ERROR),
        (bytes((0x80, 0)), frames.PROTOCOL_ERROR),
        (bytes((0x01, 0, 0x81, 0)), frames.PROTOCOL_ERROR),
        (bytes((0xC1, 0)), frames.PROTOCOL_ERROR),
        (bytes((0x89, 126)) + (126).to_bytes(2, "big"), frames.PROTOCOL_ERROR),
    ],
    ids=["too large", "too large together", "masked", "of nothing", "text in text", "reserved bit", "long ping"],
)
def test_frames_that_a_server_must_not_send(data: bytes, code: int) -> None:
    with pytest.raises(WebSocketError) as caught:
        list(FrameReader(LIMIT, masked=False).receive(data))
    assert caught.value.code == code


@given(st.binary(max_size=60), CUTS)
def test_any_bytes_are_messages_or_an_error(data: bytes, cuts: list[int]) -> None:
    for masked in (True, False):
        reader = FrameReader(LIMIT, masked=masked)
        with contextlib.suppress(WebSocketError):
            for piece in pieces(data, cuts):
                for message in reader.receive(piece):
                    if message[0] == frames.CLOSE:
                        frames.close_told(message[1])


@given(st.integers(0, 20) | st.integers(4090, 4103), st.binary(min_size=4, max_size=4))
def test_masking_follows_the_rfc(length: int, key: bytes) -> None:
    content = bytes(place % 251 for place in range(length))
    assert frames.masked(content, key) == bytes(byte ^ key[place % 4] for place, byte in enumerate(content))


@given(st.integers(1000, 1003), st.text(max_size=200))
def test_a_reason_is_cut_where_a_letter_ends(code: int, reason: str) -> None:
    content = frames.close_content(code, reason)
    assert len(content) <= frames.CONTROL_MAX
    told, said = frames.close_told(content)
    assert told == code
    assert reason.startswith(said)
    assert len(said) == len(reason) or len(said.encode()) > frames.REASON_MAX - 4


@pytest.mark.parametrize("content", [b"\x03", b"\x00\x00", b"\x03\xed", b"\x03\xee", b"\xff\xff"])
def test_close_codes_that_do_not_exist(content: bytes) -> None:
    with pytest.raises(WebSocketError):
        frames.close_told(content)


def read_head(data: bytes, cuts: list[int]) -> tuple[Head, bytes]:
    """The head, and what comes behind it."""
    reader = HeadReader()
    rest = b""
    found = None
    for piece in pieces(data, cuts):
        if found is not None:
            rest += piece
        elif (found := reader.receive(piece)) is not None:
            rest = reader.rest
    assert found is not None
    return found, rest


NAMES = st.text("abcABC09-/_.=:*@", min_size=1, max_size=20)


@given(NAMES, CUTS, st.binary(max_size=20))
def test_the_other_server_accepts_our_request_and_we_accept_its_answer(name: str, cuts: list[int], rest: bytes) -> None:
    key = upgrade.new_key()
    server = ServerProtocol()
    server.receive_data(upgrade.request("localhost:2150", "/path", key, {upgrade.NAME: name}))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    assert (request.path, request.headers[upgrade.NAME]) == ("/path", name)
    server.send_response(server.accept(request))
    answer, behind = read_head(b"".join(server.data_to_send()) + rest, cuts)
    upgrade.check_answer(answer, key)
    assert behind == rest
    with pytest.raises(TransportError, match="wrong Sec-WebSocket-Accept"):
        upgrade.check_answer(answer, upgrade.new_key())


@given(NAMES, CUTS, st.binary(max_size=20))
def test_we_accept_the_other_clients_request_and_it_accepts_our_answer(name: str, cuts: list[int], rest: bytes) -> None:
    client = ClientProtocol(parse_uri("ws://localhost:2150/path?query"))
    client.send_request(client.connect())
    head, behind = read_head(b"".join(client.data_to_send()) + rest, cuts)
    assert behind == rest
    request = upgrade.read_request(head)
    assert (request.method, request.path) == ("GET", "/path")
    client.receive_data(upgrade.accept(head, {upgrade.NAME: name}))
    assert client.handshake_exc is None
    (answer,) = client.events_received()
    assert isinstance(answer, Response)
    assert answer.headers[upgrade.NAME] == name


@given(st.binary(max_size=200), CUTS)
def test_any_bytes_are_a_head_or_an_error(data: bytes, cuts: list[int]) -> None:
    reader = HeadReader()
    with contextlib.suppress(TransportError):
        for piece in pieces(data + b"\r\n\r\n", cuts):
            if (head := reader.receive(piece)) is not None:
                upgrade.accept(head, {})


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("200 OK", "HTTP status 200"),
        ("403 Forbidden", "not served there .403.: the log there says why"),
        ("409 Conflict", "our own address"),
        ("101", "wrong Sec-WebSocket-Accept"),
        ("99 x", "not an HTTP answer"),
    ],
)
def test_answers_that_are_no_upgrade(status: str, says: str) -> None:
    head, _ = read_head(f"HTTP/1.1 {status}\r\nX: y\r\n\r\n".encode(), [])
    with pytest.raises(TransportError, match=says):
        upgrade.check_answer(head, upgrade.new_key())


def test_an_endless_answer_is_an_error() -> None:
    with pytest.raises(TransportError, match="more than"):
        HeadReader().receive(b"x" * (upgrade.HEAD_MAX + 1))


def test_a_refusal_is_read_by_the_other_implementation() -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"))
    client.receive_data(upgrade.refuse(403, "not you", {upgrade.REFUSAL: "not \N{SNOWMAN}\r\nX: y"}))
    (answer,) = client.events_received()
    assert isinstance(answer, Response)
    assert (answer.status_code, bytes(answer.body)) == (403, b"403: not you\n")
    assert answer.headers[upgrade.REFUSAL] == r"not \u2603\r\nX: y"
