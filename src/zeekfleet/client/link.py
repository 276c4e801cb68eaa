"""One synchronous connection to a controller, light enough for a command that must feel instant.

No event loop, no threads: whoever calls waits. Programs that do more than one
thing at a time use :class:`zeekfleet.client.Client`.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec
import websocket

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import canonical_topic
from zeekfleet.broker.messages import (
    TOPIC_FORBIDDEN,
    Ack,
    DataMessage,
    ErrorMessage,
    Message,
    decode_event,
    decode_message,
    encode_event,
    encode_message,
)
from zeekfleet.client.tls import own_problem, peer_problem
from zeekfleet.errors import ProtocolError, RequestTimeoutError, TransportError

PATH = "/v1/messages/json"
APPLICATION_NAME = "zeekfleet-cli"
LONGEST_EXTENSION = 30
"""How many times its time-out a request may wait in all, however much progress is seen."""

Watch = Callable[[str, Event], bool]
"""Told each other event with its topic while a response is awaited; True if it is a sign of progress."""


class Retry(msgspec.Struct, frozen=True):
    """How to insist on a connection: attempts in all, and seconds to wait within and between them."""

    attempts: int = 10
    delay: float = 1.0


class Link:
    """A connection whose handshake is done; made by :func:`connect`, closed as a context manager."""

    def __init__(self, socket: websocket.WebSocket, remote: str) -> None:
        self._socket = socket
        self._remote = remote

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close without waiting for the other side."""
        try:
            self._socket.close(timeout=0)
        except (OSError, websocket.WebSocketException):
            self._socket.shutdown()  # type: ignore[no-untyped-call]

    def publish(self, event: Event, topic: str = topics.CONTROLLER) -> None:
        """Send an event.

        Raises:
            TransportError: the connection is lost.
            ValueMismatchError: the event holds what the wire cannot carry.
        """
        frame = encode_event(topic, event).decode()
        try:
            self._socket.send(frame)
        except (OSError, websocket.WebSocketException) as error:
            raise self._lost(error) from None

    def request(self, event: Event, timeout: float, watch: Watch | None = None) -> Event:
        """Send a request to the controller and wait for its response.

        Args:
            event: a request: its class has a ``response``, its first field is ``reqid``.
            timeout: seconds; counted anew at each sign of progress that ``watch`` sees.
            watch: sees the other events that arrive.

        Raises:
            RequestTimeoutError: no response came in time.
            TransportError: the connection is lost, or the controller refused the request.
            ProtocolError: what came is no event of the protocol.
        """
        reqid = str(getattr(event, "reqid", ""))
        started = time.monotonic()
        deadline, limit = started + timeout, started + LONGEST_EXTENSION * timeout
        self.publish(event)
        while True:
            received = self.receive(max(0.0, deadline - time.monotonic()))
            if received is None:
                raise RequestTimeoutError(reqid, round(time.monotonic() - started, 1))
            topic, other = received
            if type(other) is type(event).response and getattr(other, "reqid", None) == reqid:
                return other
            if watch is not None and watch(topic, other):
                deadline = min(time.monotonic() + timeout, limit)

    def receive(self, timeout: float) -> tuple[str, Event] | None:
        """The next event with its topic, or None if none came within ``timeout`` seconds.

        Raises:
            TransportError: the connection is lost, or the controller complains about what it got.
            ProtocolError: what came is no event of the protocol.
        """
        deadline = time.monotonic() + timeout
        while True:
            message = self._receive_message(deadline - time.monotonic())
            match message:
                case None:
                    return None
                case DataMessage():
                    topic = canonical_topic(message.topic)
                    try:
                        event, _ = decode_event(message)
                    except ProtocolError:
                        if topic.startswith(topics.CONTROLLER):
                            raise
                        continue  # other parties' events are only watched
                    return topic, event
                case ErrorMessage():
                    raise TransportError(f"controller {self._remote} reports {message.code}: {message.context}")

    def _receive_message(self, timeout: float) -> Message | None:
        if timeout <= 0:
            return None
        self._socket.settimeout(timeout)
        try:
            opcode, payload = self._socket.recv_data()
        except (TimeoutError, websocket.WebSocketTimeoutException):
            return None
        except (OSError, websocket.WebSocketException) as error:
            raise self._lost(error) from None
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            reason = payload[2:].decode(errors="replace")
            raise TransportError(f"controller {self._remote} closed the connection" + (reason and f": {reason}"))
        return decode_message(payload)

    def _handshake(self, subscriptions: Sequence[str], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        try:
            self._socket.send(encode_message(list(subscriptions)).decode())
        except (OSError, websocket.WebSocketException) as error:
            raise self._lost(error) from None
        while True:
            match self._receive_message(deadline - time.monotonic()):
                case Ack():
                    return
                case None:
                    raise TransportError(f"controller {self._remote} did not answer the handshake in time")
                case ErrorMessage(code=code, context=context) if code != TOPIC_FORBIDDEN:
                    raise TransportError(f"controller {self._remote} refused the handshake: {code}: {context}")

    def _lost(self, error: Exception) -> TransportError:
        return TransportError(f"connection to controller {self._remote} is lost: {_reason(error)}")


def connect(
    host: str,
    port: int,
    subscriptions: Sequence[str] = (topics.CONTROLLER,),
    *,
    tls: ssl.SSLContext | None = None,
    retry: Retry = Retry(),  # noqa: B008 - frozen
) -> Link:
    """Connect to a controller and tell what to hear.

    A refused connection and a time-out are tried again; whatever else fails, fails at once.

    Raises:
        TransportError: no connection within the attempts, or the other side does not speak the protocol.
    """
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    remote = f"{host}:{port}"
    url = f"{'wss' if tls else 'ws'}://{remote}{PATH}"
    reason = "no attempt was allowed"
    for attempt in range(retry.attempts):
        if attempt:
            time.sleep(retry.delay)
        # The decoder checks UTF-8 itself, in a hundredth of the time.
        socket = websocket.WebSocket(sslopt={"context": tls} if tls else None, skip_utf8_validation=True)
        try:
            socket.connect(  # type: ignore[no-untyped-call]
                url,
                timeout=retry.delay,
                suppress_origin=True,
                header={"X-Application-Name": APPLICATION_NAME},
            )
        except (ConnectionRefusedError, TimeoutError, websocket.WebSocketTimeoutException) as error:
            socket.shutdown()  # type: ignore[no-untyped-call]
            reason = _reason(error)
            continue
        except (OSError, ValueError, websocket.WebSocketException) as error:
            socket.shutdown()  # type: ignore[no-untyped-call]
            reason = (tls and peer_problem(error, host.strip("[]"), port)) or _reason(error)
            raise _with_own_problem(f"cannot connect to controller {remote}: {reason}", tls) from None
        link = Link(socket, remote)
        try:
            # What attempts remain also stand for patience with a controller that is slow to answer.
            link._handshake(subscriptions, 2 * retry.delay * (retry.attempts - attempt))
        except TransportError as error:
            link.close()
            raise _with_own_problem(str(error), tls) from None
        except BaseException:
            link.close()
            raise
        return link
    raise TransportError(f"cannot connect to controller {remote}: {reason} (attempts: {retry.attempts})")


def _with_own_problem(text: str, tls: ssl.SSLContext | None) -> TransportError:
    """A failure to connect, with what may be its cause on our side."""
    problem = own_problem(tls)
    return TransportError(f"{text}; {problem}" if problem else text)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (" ".join(text.split()) or type(error).__name__).removesuffix(".")
