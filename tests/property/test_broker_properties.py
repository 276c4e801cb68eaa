"""Encoder and decoder are inverse; any input raises nothing but a ProtocolError."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.strategies import any_value, events, of_record
from zeekfleet.broker import topics, values
from zeekfleet.broker.generations import FIRST, GENERATIONS, SECOND
from zeekfleet.broker.messages import decode_data, decode_event, decode_repairing, decode_subscriptions, encode_event
from zeekfleet.broker.session import ClientSession, Deliver, Problem, ServerSession
from zeekfleet.errors import ProtocolError
from zeekfleet.model import management, supervisor

decode_value = msgspec.json.Decoder(values.Value).decode

RECORDS = [
    management.Option,
    management.Instance,
    management.Node,
    management.Configuration,
    management.NodeStatus,
    management.Result,
    management.NodeOutputs,
    supervisor.ClusterEndpoint,
    supervisor.NodeConfig,
    supervisor.NodeStatus,
    supervisor.Status,
]
EVENTS = [
    pytest.param(generation, event, id=f"{generation.number}-{name}")
    for generation in GENERATIONS
    for name, event in sorted(generation.events.items())
]


@given(any_value)
@settings(max_examples=150, deadline=None)
def test_values_survive_the_wire(value):
    text = values.to_json(value)
    assert decode_value(text) == value
    assert values.to_json(decode_value(text)) == text


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.zeek_name)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_records_survive_the_wire(record, data):
    made = data.draw(of_record(record))
    value = decode_value(SECOND.codec.to_json(made, record))
    assert SECOND.codec.from_value(value, record) == made
    assert len(value.data) == len(record.__struct_fields__)


@pytest.mark.parametrize(("generation", "event"), EVENTS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_events_survive_the_wire(generation, event, data):
    made = data.draw(of_record(event))
    frame = encode_event(topics.agent("a1"), made, generation)
    message = decode_data(frame)
    assert message.topic == generation.topic(topics.agent("a1"))
    read, found = decode_event(message)
    assert found is generation
    assert type(read) is event
    if generation is SECOND:
        assert read == made
    # One passage loses the fields that the first generation lacks; a second passage loses nothing more.
    assert encode_event(topics.agent("a1"), read, generation) == frame


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_equal_values_are_equal_bytes(data):
    made = data.draw(of_record(management.Configuration))
    turned = management.Configuration(made.id, made.instances[::-1], made.nodes[::-1] + made.nodes)
    assert SECOND.codec.to_json(turned) == SECOND.codec.to_json(made)
    env = data.draw(st.dictionaries(st.text(), st.text()))
    one, other = (supervisor.NodeConfig("n", env=dict(items)) for items in (env.items(), list(env.items())[::-1]))
    assert SECOND.codec.to_json(one) == SECOND.codec.to_json(other)


@given(of_record(management.Node), st.integers(0, 15))
def test_shorter_and_longer_records(node, length):
    value = decode_value(SECOND.codec.to_json(node))
    fields = (value.data + [values.String("surplus")] * 4)[:length]
    required = 4  # name, instance, role, state
    if length < required:
        with pytest.raises(ProtocolError):
            SECOND.codec.from_value(values.Vector(fields), management.Node)
        return
    read = SECOND.codec.from_value(values.Vector(fields), management.Node)
    for place, name in enumerate(management.Node.__struct_fields__):
        wanted = (
            getattr(node, name) if place < length else getattr(management.Node("", "", node.role, node.state), name)
        )
        assert getattr(read, name) == wanted


def mutations(frame: bytes) -> st.SearchStrategy[bytes]:
    """The frame with pieces cut out, repeated, replaced or put in."""
    place = st.integers(0, len(frame))
    piece = st.binary(max_size=6) | st.sampled_from(
        [b"null", b"NaN", b"{}", b"[]", b"18446744073709551616", b'"none"', b'"set"', b'"table"', b"\xff", b"\\v", b'"']
    )

    @st.composite
    def mutated(draw) -> bytes:
        current = frame
        for _ in range(draw(st.integers(1, 4))):
            start, end = sorted((draw(place), draw(place)))
            middle = draw(st.sampled_from([b"", current[start:end] * 2])) or draw(piece)
            end = draw(st.sampled_from([start, start + 1, end]))
            current = current[:start] + middle + current[end:]
        return current

    return mutated()


def json_mutations(document: object) -> st.SearchStrategy[object]:
    """The document with one of its parts replaced by something else."""
    parts: list[tuple[object, object]] = []

    def collect(node: object) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, inner in items:
            parts.append((node, key))
            collect(inner)

    collect(document)
    other = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["@data-type", "data"]), inner),
        max_leaves=4,
    )

    @st.composite
    def mutated(draw) -> object:
        holder, key = draw(st.sampled_from(parts))
        before = holder[key]
        holder[key] = draw(other)
        text = json.dumps(document).encode()
        holder[key] = before
        return text

    return mutated()


@given(events.flatmap(lambda event: mutations(encode_event(topics.CONTROLLER, event))))
@settings(max_examples=200, deadline=None)
@example(b"[" * 20_000)
@example(b'{"a":' * 20_000)
@example(b'{"type":"data-message","topic":"t","@data-type":"vector","data":' + b'[{"@data-type":"set","data":' * 5000)
@example("\ud800".encode(errors="surrogatepass"))
def test_mutated_frames_raise_only_protocol_errors(frame):
    check(frame)


@given(events.flatmap(lambda event: json_mutations(json.loads(encode_event(topics.CONTROLLER, event)))))
@settings(max_examples=200, deadline=None)
def test_mutated_documents_raise_only_protocol_errors(frame):
    check(frame)


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_protocol_errors(frame):
    check(frame)


def check(frame: bytes) -> None:
    decoders = (
        lambda: decode_event(decode_data(frame)),
        lambda: decode_repairing(frame),
        lambda: decode_subscriptions(frame),
    )
    for decode in decoders:
        with contextlib.suppress(ProtocolError):
            decode()
    server, client = ServerSession("id", "version"), ClientSession(())
    server.receive(b"[]")
    client.receive(b'{"type":"ack","endpoint":"e","version":"v"}')
    for output in server.receive(frame):
        assert isinstance(output, Deliver | Problem)
        if isinstance(output, Problem):
            reply = json.loads(output.reply)
            assert reply["code"] == "deserialization_failed"
            assert len(reply["context"]) <= 1000
    assert all(isinstance(output, Deliver | Problem) for output in client.receive(frame))


@given(st.text(), st.sampled_from(["data", "string"]))
def test_repair_changes_nothing_that_is_valid(text, key):
    frame = json.dumps({key: text}, ensure_ascii=False).encode()
    assert json.loads(values.repair_json(frame)) == {key: text}


@given(st.binary())
def test_repair_takes_any_bytes_in_a_string(content):
    escaped = content.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    assert json.loads(values.repair_json(b'{"data":"' + escaped + b'"}')) == {"data": content.decode(errors="replace")}


def test_both_generations_have_all_their_names():
    assert len(SECOND.events) == len(SECOND.names)
    assert not {name for name in SECOND.events if name.startswith("Cluster")}
    assert {name.partition("::")[0] for name in FIRST.events} == {"ClusterAgent", "ClusterController"}
