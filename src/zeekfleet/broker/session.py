"""The protocol of one connection, without I/O (docs/protocol.md, section 2).

Frames go in, outputs come out. The owner of the connection performs the outputs in order.

::

    server   opened ── array of strings: ack, Ready ──> subscribed ── data: Deliver, or Problem ──┐
                │ ▲                                         ▲                                     │
                └─┘ anything else: Problem                  └─────────────────────────────────────┘

    client   opening() sent ── data: kept ── ack: Ready, then what was kept ──> ready ── data: Deliver

A server answers an unacceptable frame with an error frame; a client does not.
"""

from __future__ import annotations

import re

import msgspec

from zeekfleet.broker.client_frames import PATH
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import Generation
from zeekfleet.broker.messages import (
    DESERIALIZATION_FAILED,
    INVALID_APPLICATION_NAME,
    INVALID_URI,
    Ack,
    DataMessage,
    ErrorMessage,
    decode_data,
    decode_event,
    decode_repairing,
    decode_subscriptions,
    encode_message,
)
from zeekfleet.errors import FrameError, ProtocolError

APPLICATION_NAME = re.compile(r"[-/_.=:*@a-zA-Z0-9]+")

GOING_AWAY = 1001
POLICY_VIOLATION = 1008

SUBSCRIPTIONS_MAX = 1000
EARLY_FRAMES_MAX = 1000
EARLY_BYTES_MAX = 64 * 1024 * 1024
_CONTEXT_MAX = 1000


class Send(msgspec.Struct, frozen=True):
    """Write a frame to this connection."""

    frame: bytes


class Ready(msgspec.Struct, frozen=True):
    """The handshake is complete.

    Attributes:
        subscriptions: the peer's topic prefixes, as sent (server side; empty on the client side).
        endpoint: the peer's endpoint id (client side; empty on the server side).
    """

    subscriptions: tuple[str, ...] = ()
    endpoint: str = ""


class Deliver(msgspec.Struct, frozen=True):
    """An event arrived.

    Attributes:
        topic: the topic as it was on the wire, a name of either generation.
        event: the event.
        generation: the generation of the event's name.
        frame: the text that arrived, for forwarding.
    """

    topic: str
    event: Event
    generation: Generation
    frame: bytes


class Problem(msgspec.Struct, frozen=True):
    """A frame was not accepted, by us or by the peer; the connection stays open.

    Attributes:
        code: the protocol's error code.
        context: a sentence for a person.
        reply: the error frame to answer with, if any.
        received: whether the peer did not accept a frame of ours.
    """

    code: str
    context: str
    reply: bytes | None = None
    received: bool = False


class Close(msgspec.Struct, frozen=True):
    """Close the connection."""

    code: int
    reason: str


Output = Send | Ready | Deliver | Problem | Close


def error_frame(code: str, context: str) -> bytes:
    """The frame that tells a peer what was wrong."""
    return encode_message(ErrorMessage(code, context[:_CONTEXT_MAX]))


def _refusal(code: str, context: str) -> Problem:
    return Problem(code, context[:_CONTEXT_MAX], error_frame(code, context))


def check_request(path: str, application_name: str | None) -> Problem | None:
    """What is wrong with an upgrade request; None if nothing is. After a problem, close the connection with 1008.

    Args:
        path: the path of the request's URI, without query.
        application_name: the header ``X-Application-Name``, if there is one.
    """
    if path != PATH:
        return _refusal(INVALID_URI, f"invalid URI: only {PATH} is served here")
    if application_name is not None and not APPLICATION_NAME.fullmatch(application_name):
        return _refusal(INVALID_APPLICATION_NAME, f"X-Application-Name must match {APPLICATION_NAME.pattern}")
    return None


class ServerSession:
    """The side that was dialled.

    Args:
        endpoint: our endpoint id.
        version: the version that the acknowledgement tells.
        subscriptions_max: how many topic prefixes the peer may subscribe to.
    """

    def __init__(self, endpoint: str, version: str, subscriptions_max: int = SUBSCRIPTIONS_MAX) -> None:
        self._ack = encode_message(Ack(endpoint, version))
        self._subscriptions_max = subscriptions_max
        self.ready = False

    def receive(self, frame: bytes | None) -> tuple[Output, ...]:
        """Process a text frame; None stands for a binary frame, which is refused."""
        if frame is None:
            return (_refusal(DESERIALIZATION_FAILED, "binary frame: expected text"),)
        try:
            return self._data(frame) if self.ready else self._subscribe(frame)
        except ProtocolError as error:
            return (_refusal(DESERIALIZATION_FAILED, str(error)),)

    def _subscribe(self, frame: bytes) -> tuple[Output, ...]:
        try:
            subscriptions = decode_subscriptions(frame)
        except FrameError as error:
            raise FrameError(f"the first frame must be an array of topic prefixes: {error}") from None
        if len(subscriptions) > self._subscriptions_max:
            raise FrameError(f"{len(subscriptions)} subscriptions are more than the {self._subscriptions_max} allowed")
        self.ready = True
        return Send(self._ack), Ready(subscriptions)

    def _data(self, frame: bytes) -> tuple[Output, ...]:
        message = decode_data(frame)
        event, generation = decode_event(message)
        return (Deliver(message.topic, event, generation, frame),)


class ClientSession:
    """The side that dials. Its peer may be a Zeek process, so invalid JSON is repaired where possible.

    Args:
        subscriptions: the topic prefixes to subscribe to, as they are sent.
    """

    def __init__(self, subscriptions: tuple[str, ...]) -> None:
        self._subscriptions = subscriptions
        self._early: list[Deliver] = []
        self._early_bytes = 0
        self.ready = False

    def opening(self) -> bytes:
        """The first frame."""
        return encode_message(list(self._subscriptions))

    def receive(self, frame: bytes | None) -> tuple[Output, ...]:
        """Process a text frame; None stands for a binary frame, which is refused."""
        if frame is None:
            return (Problem(DESERIALIZATION_FAILED, "binary frame: expected text"),)
        try:
            message, text = decode_repairing(frame)
            match message:
                case DataMessage():
                    return self._data(message, text)
                case Ack():
                    return self._acknowledged(message)
                case ErrorMessage():
                    return self._refused(message)
        except ProtocolError as error:
            return (Problem(DESERIALIZATION_FAILED, str(error)[:_CONTEXT_MAX]),)

    def _data(self, message: DataMessage, frame: bytes) -> tuple[Output, ...]:
        event, generation = decode_event(message)
        delivery = Deliver(message.topic, event, generation, frame)
        if self.ready:
            return (delivery,)
        self._early.append(delivery)
        self._early_bytes += len(frame)
        if len(self._early) > EARLY_FRAMES_MAX or self._early_bytes > EARLY_BYTES_MAX:
            return (Close(POLICY_VIOLATION, "too many messages before the acknowledgement"),)
        return ()

    def _acknowledged(self, message: Ack) -> tuple[Output, ...]:
        if self.ready:
            return ()
        self.ready = True
        early, self._early = self._early, []
        return Ready(endpoint=message.endpoint), *early

    def _refused(self, message: ErrorMessage) -> tuple[Output, ...]:
        problem = Problem(message.code, message.context[:_CONTEXT_MAX], received=True)
        if self.ready:
            return (problem,)
        return problem, Close(POLICY_VIOLATION, f"refused: {problem.code}: {problem.context}")
