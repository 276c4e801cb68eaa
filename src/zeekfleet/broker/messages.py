"""Frames: encodes and decodes the text messages of the WebSocket (docs/protocol.md, sections 1 and 2)."""

from __future__ import annotations

from json.encoder import encode_basestring

import msgspec

from zeekfleet.broker import values
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import SECOND, Generation, find_event
from zeekfleet.broker.values import Value, guarded
from zeekfleet.broker.writers import SCALARS, STRING
from zeekfleet.errors import FrameError, ValueMismatchError
from zeekfleet.model.types import COUNT


class DataMessage(msgspec.Struct, frozen=True, tag_field="type", tag="data-message"):
    """A value that is published on a topic. The value's own keys stand beside ``type`` and ``topic``."""

    topic: str
    data_type: str = msgspec.field(name="@data-type")
    data: list[Value]


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """The server's answer to the subscriptions."""

    endpoint: str
    version: str


class ErrorMessage(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """The server did not accept a frame, or the connection."""

    code: str
    context: str


class UnknownEvent(Event, frozen=True):
    """An event that this release does not know; its arguments stay undecoded."""

    name: str
    arguments: tuple[Value, ...]


DESERIALIZATION_FAILED = "deserialization_failed"
TOPIC_FORBIDDEN = "topic_forbidden"
INVALID_URI = "invalid_uri"
INVALID_APPLICATION_NAME = "invalid_application_name"

Message = DataMessage | Ack | ErrorMessage

_DATA: msgspec.json.Decoder[DataMessage] = msgspec.json.Decoder(DataMessage)
_MESSAGE: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_SUBSCRIPTIONS: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])
_ONE = SCALARS[COUNT](1)


def decode_subscriptions(frame: bytes | str) -> tuple[str, ...]:
    """The topic prefixes in a client's first frame.

    Raises:
        FrameError: the frame is not a JSON array of strings.
    """
    return tuple(guarded(_SUBSCRIPTIONS.decode, frame))


def decode_data(frame: bytes | str) -> DataMessage:
    """Decode a frame that a server received.

    Raises:
        FrameError: the frame is not a data message.
    """
    return guarded(_DATA.decode, frame)


def decode_message(frame: bytes | str) -> Message:
    """Decode a frame that a client received. A Zeek node's invalid JSON is repaired first.

    Raises:
        FrameError: the frame is not a message.
    """
    return decode_repairing(frame)[0]


def decode_repairing(frame: bytes | str) -> tuple[Message, bytes]:
    """The same; also returns the text that was decoded, which is ``frame`` or its repaired form.

    Raises:
        FrameError: the frame is not a message, even after the repair.
    """
    text = frame if isinstance(frame, bytes) else frame.encode(errors="replace")
    try:
        return guarded(_MESSAGE.decode, text), text
    except FrameError:
        text = values.repair_json(frame).encode(errors="replace")
        return guarded(_MESSAGE.decode, text), text


def encode_message(message: msgspec.Struct | list[str]) -> bytes:
    """The frame for an acknowledgement, an error or an array of subscriptions."""
    return values.to_json(message)


def encode_event(topic: str, event: Event, generation: Generation = SECOND) -> bytes:
    """The frame that publishes an event on a topic, given by its second-generation name.

    Raises:
        ValueMismatchError: the event holds a value that cannot be encoded.
    """
    try:
        arguments = generation.codec.to_json(event, type(event))
        name = STRING(generation.names[type(event)])
        return (
            f'{{"type":"data-message","topic":{encode_basestring(generation.topic(topic))},"@data-type":"vector",'
            f'"data":[{_ONE},{_ONE},{{"@data-type":"vector","data":[{name},{arguments}]}}]}}'
        ).encode()
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueMismatchError(f"{type(event).event_name} cannot be encoded: {error}") from None


def decode_event(message: DataMessage) -> tuple[Event, Generation]:
    """The event in a data message, and the generation of the event's name.

    Raises:
        FrameError: the message holds no event.
        ValueMismatchError: an argument does not have its type.
    """
    content = message.data[2] if message.data_type == "vector" and len(message.data) >= 3 else None
    if not isinstance(content, values.Vector) or len(content.data) < 2:
        raise FrameError("no event: expected a vector of format, type, and a vector of name and arguments")
    name, arguments = content.data[0], content.data[1]
    if not isinstance(name, values.String) or not isinstance(arguments, values.Vector):
        raise FrameError("no event: expected its name as a string and its arguments as a vector")
    found = find_event(name.data)
    if found is None:
        return UnknownEvent(name.data, tuple(arguments.data)), SECOND
    generation, event = found
    try:
        return generation.codec.from_value(arguments, event), generation
    except ValueMismatchError as error:
        raise error.within(name.data) from None
