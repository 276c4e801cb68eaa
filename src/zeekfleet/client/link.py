"""One synchronous connection to a controller, for commands that must start fast.

There is no event loop: a call blocks until it is done. Programs that do several
things at a time use :class:`zeekfleet.client.Client`.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar, cast

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.client_frames import LIMIT, RefusedError
from zeekfleet.broker.events.base import Event, Request, Response
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
from zeekfleet.client.carrier import Watch
from zeekfleet.client.deadline import AnswerDeadline
from zeekfleet.client.tls import own_problem, peer_problem
from zeekfleet.client.websocket import ClosedError, WebSocket, open_connection
from zeekfleet.errors import (
    CannotConnectError,
    ConnectionLostError,
    ProtocolError,
    RequestTimeoutError,
    TransportError,
    UnreachableError,
)
from zeekfleet.model.addresses import address_text
from zeekfleet.transport.tls import NO_TLS, NO_TLS_THERE

R = TypeVar("R", bound=Response)

APPLICATION_NAME = "zeekfleet-cli"
MEBIBYTE = 1024 * 1024

AT_ONCE = 0.5
"""If nobody has accepted the connection after so many seconds, the user is told."""

SLOW = 2.0
"""So many seconds later, the user is also told if the connection was accepted but the handshake is not done yet."""

SHORTEST = 0.1
"""The fewest seconds for one attempt."""

HANDSHAKE = 10.0
"""Seconds for a controller that has accepted the connection to answer the handshake."""


class Retry(msgspec.Struct, frozen=True):
    """How often and how long to try to connect.

    The pause between two attempts does not grow: it is a setting of zeek-client's, and somebody waits for the command.

    Attributes:
        attempts: the number of attempts.
        delay: seconds that an attempt may take, and seconds between two attempts.
        limit: if set, the seconds for all attempts. Each attempt may then take all the time that is left, and
            ``attempts`` is ignored.
    """

    attempts: int = 10
    delay: float = 1.0
    limit: float | None = None


class Link:
    """A connection that is ready; made by :func:`connect`, closed as a context manager.

    Args:
        socket: the connection.
        name: what to call the other side in a sentence.
    """

    def __init__(self, socket: WebSocket, name: str) -> None:
        self._socket = socket
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def leads_to_zeekfleet(self) -> bool:
        """Whether the controller is zeekfleet's. Zeek's own controller does not answer requests that Zeek lacks."""
        return LIMIT.lower() in self._socket.fields

    def close(self) -> None:
        """Close without waiting for the other side."""
        self._socket.close()

    def publish(self, event: Event, topic: str = topics.CONTROLLER) -> None:
        """Send an event.

        Raises:
            TransportError: the connection is lost.
            ValueMismatchError: the event holds a value that cannot be encoded.
        """
        content = encode_event(topic, event)
        told = self._socket.fields.get(LIMIT.lower(), "")
        if told.isdigit() and len(content) > int(told):
            name = event.event_name.rpartition("::")[2]
            size, limit = len(content) / MEBIBYTE, int(told) / MEBIBYTE
            text = f"{name} of {size:.1f} MiB is more than the {limit:.1f} MiB that {self._name} accepts"
            raise TransportError(text)
        self._send(content)

    def request(self, event: Request[R], timeout: float, watch: Watch | None = None) -> R:
        """Send a request to the controller and wait for its response.

        Args:
            event: the request.
            timeout: seconds, counted anew at each sign of progress.
            watch: called with other events that arrive; returns whether the event is a sign of progress.

        Raises:
            RequestTimeoutError: no response came in time.
            TransportError: the connection is lost, or the controller refused the request.
            ProtocolError: what came is no event of the protocol.
        """
        started = time.monotonic()
        deadline = AnswerDeadline(started, timeout)
        self.publish(event)
        while True:
            received = self.receive(max(0.0, deadline.at - time.monotonic()))
            if received is None:
                raise RequestTimeoutError(event.reqid, round(time.monotonic() - started, 1))
            topic, other = received
            if isinstance(other, event.response) and other.reqid == event.reqid:
                return cast("R", other)  # found by its class
            if watch is not None and watch(topic, other):
                deadline.progressed(other, time.monotonic())

    def receive(self, timeout: float) -> tuple[str, Event] | None:
        """The next event with its topic, or None if none came within ``timeout`` seconds.

        Raises:
            TransportError: the connection is lost, or the controller reports an error.
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
                        continue  # events of others are only watched
                    return topic, event
                case ErrorMessage():
                    raise TransportError(f"{self._name} reports {message.code}: {message.context}")

    def _receive_message(self, timeout: float) -> Message | None:
        if timeout <= 0:
            return None
        try:
            message = self._socket.receive(timeout)
        except ClosedError as closed:
            reason = f": {closed}" if str(closed) else ""
            raise ConnectionLostError(f"{self._name} closed the connection{reason}") from None
        except (OSError, TransportError) as error:
            raise self._lost(error) from None
        return None if message is None else decode_message(message)

    def _send(self, text: bytes) -> None:
        try:
            self._socket.send(text)
        except OSError as error:
            raise self._lost(error) from None

    def _handshake(self, subscriptions: Sequence[str], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._send(encode_message(list(subscriptions)))
        while True:
            match self._receive_message(deadline - time.monotonic()):
                case Ack():
                    return
                case None:
                    raise TransportError(f"{self._name} did not answer the handshake in time")
                case ErrorMessage(code=code, context=context) if code != TOPIC_FORBIDDEN:
                    raise TransportError(f"{self._name} refused the handshake: {code}: {context}")

    def _lost(self, error: Exception) -> ConnectionLostError:
        return ConnectionLostError(f"connection to {self._name} is lost: {_reason(error)}")


def connect(
    host: str,
    port: int,
    subscriptions: Sequence[str] = (topics.CONTROLLER,),
    *,
    tls: ssl.SSLContext | None = None,
    retry: Retry = Retry(),  # noqa: B008 - frozen
    waiting: Callable[[], None] = lambda: None,
) -> Link:
    """Connect to a controller and subscribe.

    A refused connection and a time-out are tried again; every other failure ends it at once.

    Args:
        host: address or name.
        port: port.
        subscriptions: prefixes of topics.
        tls: a client's context, or None for plain text.
        retry: how often or how long to try.
        waiting: called once, maybe in another thread, if connecting takes long and another attempt will follow.

    Raises:
        UnreachableError: all attempts failed, or the time is over.
        TransportError: the other side does not speak the protocol, or refuses us.
    """
    telling = _Telling(waiting)
    try:
        return _connect(host, port, subscriptions, tls, retry, telling)
    finally:
        telling.end()


def _connect(
    host: str, port: int, subscriptions: Sequence[str], tls: ssl.SSLContext | None, retry: Retry, telling: _Telling
) -> Link:
    place, address = address_text(host, port), host.strip("[]")
    name = f"controller {place}"
    tries = _Tries(retry)
    # If the connection is reset, the controller has probably ended while it accepted us: then try again. With TLS, it
    # may have refused our certificate: another attempt would not help.
    ending = () if tls else (ConnectionResetError, BrokenPipeError)
    reason = "no attempt was allowed"
    while tries.next():
        telling.is_accepted = False
        try:
            connection = open_connection(address, port, tls, tries.timeout)
            telling.is_accepted = True
            socket = WebSocket(place, connection, APPLICATION_NAME, tries.timeout)
        except (ConnectionRefusedError, *ending, TimeoutError) as error:
            reason = _reason(error)
            if tries.remain:
                telling.tell()
            continue
        except (OSError, ValueError, TransportError) as error:
            telling.end()  # no attempt follows; finding out the reason may take a while
            reason = (tls and peer_problem(error, address, port)) or _reason(error)
            raise _cannot_connect(reason, tls, f"cannot connect to {name}: ") from None
        link = Link(socket, name)
        try:
            link._handshake(subscriptions, tries.patience)
        except ConnectionLostError as error:
            link.close()
            reason = str(error)
            if tls or not tries.remain:
                raise _cannot_connect(reason, tls) from None
            telling.tell()
            continue
        except TransportError as error:
            link.close()
            raise _cannot_connect(str(error), tls) from None
        except BaseException:
            link.close()
            raise
        return link
    raise UnreachableError(host, port, f"cannot connect to {name}: {reason} ({tries})", reason)


class _Telling:
    """Tells the user once that we still wait for a connection: soon if nobody accepts it, later if one is accepted.

    Attributes:
        is_accepted: whether the connection of the present attempt was accepted.
    """

    def __init__(self, waiting: Callable[[], None]) -> None:
        self._waiting = waiting
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.is_accepted = False
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        if self._ended.wait(AT_ONCE):
            return
        if not (self.is_accepted and self._ended.wait(SLOW)):
            self.tell()

    def tell(self) -> None:
        """Tell the user, unless that was done before, or the wait is over."""
        with self._lock:
            if not self._ended.is_set():
                self._ended.set()
                self._waiting()

    def end(self) -> None:
        """The wait is over: there is a connection, or there will be none."""
        with self._lock:
            self._ended.set()


class _Tries:
    """Attempts of a :class:`Retry`, with the pauses between them."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._made = 0
        self._deadline = None if retry.limit is None else time.monotonic() + retry.limit

    def __str__(self) -> str:
        limit = self._retry.limit
        return f"attempts: {self._retry.attempts}" if limit is None else f"tried for {limit:g} s"

    @property
    def remain(self) -> bool:
        """Whether another attempt is allowed."""
        if self._deadline is None:
            return self._made < self._retry.attempts
        return time.monotonic() + self._retry.delay < self._deadline

    def next(self) -> bool:
        """Wait until the next attempt is due; False if there is none."""
        if self._made and not self.remain:
            return False
        if self._made:
            time.sleep(self._retry.delay)
        self._made += 1
        return self._deadline is not None or self._retry.attempts > 0

    @property
    def timeout(self) -> float:
        """Seconds that this attempt may take."""
        return self._retry.delay if self._deadline is None else max(self._deadline - time.monotonic(), SHORTEST)

    @property
    def patience(self) -> float:
        """Seconds for a controller that has accepted the connection to answer the handshake: it may be slow."""
        if self._deadline is not None:
            return HANDSHAKE
        return 2 * self._retry.delay * (self._retry.attempts - self._made + 1)


def _cannot_connect(reason: str, tls: ssl.SSLContext | None, introduction: str = "") -> CannotConnectError:
    """The error for a failure to connect. If our own certificate is not valid, it says so: that may be the cause."""
    problem = own_problem(tls)
    return CannotConnectError(f"{introduction}{reason}{f'; {problem}' if problem else ''}", problem or reason)


def _reason(error: Exception) -> str:
    if isinstance(error, RefusedError) and error.status == HTTPStatus.FORBIDDEN:
        return " ".join(error.body.split())[:200].removeprefix("403: ") or "not served (403)"
    if isinstance(error, ssl.SSLError) and error.reason in NO_TLS:
        return f"{NO_TLS_THERE} (enable = false in the section [ssl])"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (" ".join(text.split()) or type(error).__name__).removesuffix(".")
