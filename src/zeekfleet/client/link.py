"""One synchronous connection to a controller, light enough for a command that must feel instant.

No event loop, no threads: whoever calls waits. Programs that do more than one
thing at a time use :class:`zeekfleet.client.Client`.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Self

import msgspec
import websocket

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.events.deployments import DeploymentProgress
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
from zeekfleet.errors import (
    ConnectionLostError,
    ProtocolError,
    RequestTimeoutError,
    TransportError,
    UnreachableError,
)
from zeekfleet.model.addresses import place

PATH = "/v1/messages/json"
APPLICATION_NAME = "zeekfleet-cli"
LIMIT_HEADER = "x-zeekfleet-frame-limit"
MEBIBYTE = 1024 * 1024
LONGEST_EXTENSION = 30
"""How many times its time-out a request may wait in all, however much the agents are seen to do."""

AT_ONCE = 0.5
"""Seconds after which it is worth a word that nobody has accepted a connection."""

SLOW = 2.0
"""Seconds after these, the same for one that was accepted and leads nowhere."""

SHORTEST = 0.1
"""Seconds that an attempt has at least."""

HANDSHAKE = 10.0

Watch = Callable[[str, Event], bool]
"""Told each other event with its topic while a response is awaited; True if it is a sign of progress."""


class Retry(msgspec.Struct, frozen=True):
    """How to insist on a connection.

    Attributes:
        attempts: how often to try in all.
        delay: seconds that an attempt may take, and that lie between two.
        limit: seconds in all; an attempt then may take what is left of them, and ``attempts`` does not count.
    """

    attempts: int = 10
    delay: float = 1.0
    limit: float | None = None


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
        content = encode_event(topic, event)
        told = (self._socket.getheaders() or {}).get(LIMIT_HEADER, "")
        if told.isdigit() and len(content) > int(told):
            name = event.event_name.rpartition("::")[2]
            size, limit = len(content) / MEBIBYTE, int(told) / MEBIBYTE
            text = f"{name} of {size:.1f} MiB is more than the {limit:.1f} MiB that controller {self._remote} accepts"
            raise TransportError(text)
        frame = content.decode()
        try:
            self._socket.send(frame)
        except (OSError, websocket.WebSocketException) as error:
            raise self._lost(error) from None

    def request(self, event: Request[Response], timeout: float, watch: Watch | None = None) -> Response:
        """Send a request to the controller and wait for its response.

        Args:
            event: the request.
            timeout: seconds; counted anew at each sign of progress that ``watch`` sees.
            watch: sees the other events that arrive.

        Raises:
            RequestTimeoutError: no response came in time.
            TransportError: the connection is lost, or the controller refused the request.
            ProtocolError: what came is no event of the protocol.
        """
        started = time.monotonic()
        deadline, limit = started + timeout, started + LONGEST_EXTENSION * timeout
        self.publish(event)
        while True:
            received = self.receive(max(0.0, deadline - time.monotonic()))
            if received is None:
                raise RequestTimeoutError(event.reqid, round(time.monotonic() - started, 1))
            topic, other = received
            if isinstance(other, event.response) and other.reqid == event.reqid:
                return other
            if watch is not None and watch(topic, other):
                deadline = time.monotonic() + timeout
                if not isinstance(other, DeploymentProgress):  # which the controller bounds itself
                    deadline = min(deadline, limit)

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
            raise ConnectionLostError(f"controller {self._remote} closed the connection" + (reason and f": {reason}"))
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

    def _lost(self, error: Exception) -> ConnectionLostError:
        return ConnectionLostError(f"connection to controller {self._remote} is lost: {_reason(error)}")


def connect(
    host: str,
    port: int,
    subscriptions: Sequence[str] = (topics.CONTROLLER,),
    *,
    tls: ssl.SSLContext | None = None,
    retry: Retry = Retry(),  # noqa: B008 - frozen
    waiting: Callable[[], None] = lambda: None,
) -> Link:
    """Connect to a controller and tell what to hear.

    A refused connection and a time-out are tried again; whatever else fails, fails at once.

    Args:
        host: address or name.
        port: port.
        subscriptions: prefixes of topics.
        tls: a client's context, or None for plain text.
        retry: how to insist.
        waiting: called once, maybe in another thread, when there is no connection at once but may be one later.

    Raises:
        UnreachableError: nobody has answered within the attempts or the time.
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
    remote = place(host, port)
    tries = _Tries(retry)
    # A controller that dies while it accepts us resets the connection; with TLS so does one that minds our certificate.
    ending = () if tls else (ConnectionResetError, BrokenPipeError)
    reason = "no attempt was allowed"
    while tries.next():
        # The decoder checks UTF-8 itself, in a hundredth of the time.
        socket = websocket.WebSocket(sslopt={"context": tls} if tls else None, skip_utf8_validation=True)
        telling.socket = socket
        try:
            socket.connect(  # type: ignore[no-untyped-call]
                f"{'wss' if tls else 'ws'}://{remote}{PATH}",
                timeout=tries.timeout,
                suppress_origin=True,
                header={"X-Application-Name": APPLICATION_NAME},
            )
        except (ConnectionRefusedError, *ending, TimeoutError, websocket.WebSocketTimeoutException) as error:
            socket.shutdown()  # type: ignore[no-untyped-call]
            reason = _reason(error)
            if tries.remain:
                telling.tell()
            continue
        except (OSError, ValueError, websocket.WebSocketException) as error:
            socket.shutdown()  # type: ignore[no-untyped-call]
            telling.end()  # there is nothing to wait for, though it may take a while to find out why
            reason = (tls and peer_problem(error, host.strip("[]"), port)) or _reason(error)
            raise _with_own_problem(f"cannot connect to controller {remote}: {reason}", tls) from None
        link = Link(socket, remote)
        try:
            link._handshake(subscriptions, tries.patience)
        except ConnectionLostError as error:
            link.close()
            reason = str(error)
            if tls or not tries.remain:
                raise _with_own_problem(reason, tls) from None
            telling.tell()
            continue
        except TransportError as error:
            link.close()
            raise _with_own_problem(str(error), tls) from None
        except BaseException:
            link.close()
            raise
        return link
    raise UnreachableError(host, port, f"cannot connect to controller {remote}: {reason} ({tries})")


class _Telling:
    """Says once that a connection is waited for: soon where nobody is there, later where somebody is only slow.

    Attributes:
        socket: with which it is being tried.
    """

    def __init__(self, waiting: Callable[[], None]) -> None:
        self._waiting = waiting
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.socket: websocket.WebSocket | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        if self._ended.wait(AT_ONCE):
            return
        is_there = self.socket is not None and self.socket.sock is not None
        if not (is_there and self._ended.wait(SLOW)):
            self.tell()

    def tell(self) -> None:
        """Say it, unless that is done, or there is nothing to wait for any more."""
        with self._lock:
            if not self._ended.is_set():
                self._ended.set()
                self._waiting()

    def end(self) -> None:
        """There is a connection, or there will be none."""
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
        """Whether another attempt may be made."""
        if self._deadline is None:
            return self._made < self._retry.attempts
        return time.monotonic() + self._retry.delay < self._deadline

    def next(self) -> bool:
        """Wait for the next attempt to be due; False if there is none."""
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
        """Seconds for a controller that is there to answer the handshake: it may be slow."""
        if self._deadline is not None:
            return HANDSHAKE
        return 2 * self._retry.delay * (self._retry.attempts - self._made + 1)


def _with_own_problem(text: str, tls: ssl.SSLContext | None) -> TransportError:
    """A failure to connect, with what may be its cause on our side."""
    problem = own_problem(tls)
    return TransportError(f"{text}; {problem}" if problem else text)


def _reason(error: Exception) -> str:
    if isinstance(error, websocket.WebSocketBadStatusException) and error.status_code == HTTPStatus.FORBIDDEN:
        told = (error.resp_body or b"").decode(errors="replace").strip()
        return " ".join(told.split())[:200].removeprefix("403: ") or "not served (403)"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (" ".join(text.split()) or type(error).__name__).removesuffix(".")
