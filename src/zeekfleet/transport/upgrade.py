"""The HTTP request that turns a connection into a WebSocket, and its answer (RFC 6455, section 4); no I/O.

There is one request on a connection, and it has no body. Everything else is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from zeekfleet.errors import TransportError

HEAD_MAX = 32 * 1024
"""Bytes that a request or an answer may have, without its body."""

NAME = "X-Application-Name"
"""What the sender calls itself (docs/protocol.md, section 2)."""

ENDPOINT = "X-Zeekfleet-Endpoint"
"""The dialling side's endpoint id; the other side tells its own in the acknowledgement."""

LIMIT = "X-Zeekfleet-Frame-Limit"
"""The largest frame that the sender accepts, in bytes; both sides tell it."""

REFUSAL = "X-Zeekfleet-Refusal"
"""Why an upgrade is refused, for clients that do not read the body of a refusal."""

STATUS = {
    101: "Switching Protocols",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
}

_END = b"\r\n\r\n"
_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_REQUEST = re.compile(r"([A-Z]{1,20}) ([\x21-\x7e]+) HTTP/1\.([01])")
_ANSWER = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")


class Head(NamedTuple):
    """What comes before the body of a request or an answer.

    Attributes:
        line: the first line.
        fields: all values of each field, by its name in small letters.
    """

    line: str
    fields: dict[str, list[str]]

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return self.fields.get(name.lower(), [])

    def get(self, name: str) -> str:
        """The first value of a field; empty if there is none."""
        return next(iter(self.all(name)), "")

    def has_token(self, name: str, token: str) -> bool:
        """Whether the comma-separated values of a field have this among them, in any case of letters."""
        return any(part.strip().lower() == token for value in self.all(name) for part in value.split(","))

    @property
    def frame_limit(self) -> int | None:
        """The largest frame that the sender accepts; None if it tells none, or one that makes no sense."""
        told = self.get(LIMIT)
        return int(told) if told.isascii() and told.isdigit() and len(told) < 12 else None


class Request(NamedTuple):
    """The first line of a request."""

    method: str
    target: str
    version: int  # of HTTP/1

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


class HeadReader:
    """Waits for the end of a head.

    Attributes:
        rest: what came behind it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.rest = b""

    def receive(self, data: bytes) -> Head | None:
        """The head, as soon as these bytes complete it.

        Raises:
            TransportError: it is none, or too long.
        """
        searched = max(0, len(self._buffer) - len(_END) + 1)
        self._buffer += data
        end = self._buffer.find(_END, searched)
        if (end if end >= 0 else len(self._buffer)) > HEAD_MAX:
            raise TransportError(f"an HTTP head of more than {HEAD_MAX} bytes")
        if end < 0:
            return None
        self.rest = bytes(self._buffer[end + len(_END) :])
        return _parsed(bytes(self._buffer[:end]))


def _parsed(head: bytes) -> Head:
    line, *lines = head.split(b"\r\n")
    fields: dict[str, list[str]] = {}
    for field in lines:
        name, colon, value = field.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise TransportError(f"not a field of an HTTP head: {_shown(field)}")
        fields.setdefault(name.decode().lower(), []).append(value.strip(b" \t").decode("latin-1"))
    return Head(line.decode("latin-1"), fields)


def _shown(text: bytes) -> str:
    return ascii(text[:100].decode("latin-1"))


def read_request(head: Head) -> Request:
    """The request that a client makes, of whatever method.

    Raises:
        TransportError: it makes none.
    """
    found = _REQUEST.fullmatch(head.line)
    if found is None:
        raise TransportError(f"not an HTTP request: {_shown(head.line.encode('latin-1'))}")
    request = Request(found[1], found[2], int(found[3]))
    if request.version == 1 and len(head.all("Host")) != 1:
        raise TransportError(f"an HTTP request with {len(head.all('Host'))} Host fields: expected one")
    return request


def accept(head: Head, fields: Mapping[str, str]) -> bytes:
    """The answer by which a request for a WebSocket is granted.

    Args:
        head: of the request.
        fields: what to tell beside.

    Raises:
        TransportError: the request is not as it should be.
    """
    keys = head.all("Sec-WebSocket-Key")
    if read_request(head).version != 1 or not head.has_token("Connection", "upgrade"):
        raise TransportError("an upgrade takes HTTP/1.1 and the field 'Connection: Upgrade'")
    if head.all("Sec-WebSocket-Version") != ["13"]:
        raise TransportError("an upgrade takes one field 'Sec-WebSocket-Version: 13'")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise TransportError("an upgrade takes one field Sec-WebSocket-Key, with 16 bytes in base64")
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": _accept_value(keys[0])}
    return answer(101, {**upgrade, **fields})


def refuse(status: int, reason: str, fields: Mapping[str, str] | None = None) -> bytes:
    """The answer to a request that is not granted.

    Args:
        status: of HTTP.
        reason: in words, for the body.
        fields: what to tell beside.
    """
    body = f"{status}: {reason}\n".encode()
    about = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body)), "Connection": "close"}
    told = {name: ascii(value)[1:-1] for name, value in (fields or {}).items()}
    return answer(status, about | told) + body


def answer(status: int, fields: Mapping[str, str]) -> bytes:
    """The head of an answer."""
    return _head(f"HTTP/1.1 {status} {STATUS[status]}", fields)


def new_key() -> str:
    """A key for :func:`request`."""
    return base64.b64encode(os.urandom(16)).decode()


def request(host: str, path: str, key: str, fields: Mapping[str, str]) -> bytes:
    """The request for a WebSocket.

    Args:
        host: the server's, with its port, as in a URL.
        path: of the URL.
        key: a new one.
        fields: what to tell beside.
    """
    upgrade = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    return _head(f"GET {path} HTTP/1.1", {**upgrade, "Sec-WebSocket-Key": key, **fields})


def check_answer(head: Head, key: str) -> None:
    """See whether a server has granted our request.

    Raises:
        TransportError: it has not, and why.
    """
    found = _ANSWER.fullmatch(head.line)
    if found is None:
        raise TransportError(f"no WebSocket is spoken there: not an HTTP answer: {_shown(head.line.encode('latin-1'))}")
    match found[1]:
        case "101":
            pass
        case "403":
            raise TransportError(f"we are not served there (403): {head.get(REFUSAL) or 'the log there says why'}")
        case "409":
            raise TransportError("that is our own address")
        case status:
            raise TransportError(f"no WebSocket is spoken there: HTTP status {status}")
    if head.get("Sec-WebSocket-Accept") != _accept_value(key):
        raise TransportError("no WebSocket is spoken there: wrong Sec-WebSocket-Accept")
    if head.all("Sec-WebSocket-Extensions"):
        raise TransportError("the server wants an extension of WebSocket that we have not asked for")


def _head(line: str, fields: Mapping[str, str]) -> bytes:
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode("latin-1")


def _accept_value(key: str) -> str:
    digest = hashlib.sha1((key + _SALT).encode("latin-1"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
