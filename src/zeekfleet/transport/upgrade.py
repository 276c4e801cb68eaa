"""The HTTP request that turns a connection into a WebSocket, and its answer (RFC 6455, section 4); no I/O.

There is one request on a connection, and it has no body. Everything else is refused.
"""

from __future__ import annotations

import binascii
import os

from zeekfleet.errors import TransportError

try:
    from _sha1 import sha1  # type: ignore[import-not-found]  # hashlib loads OpenSSL: 4 ms and 3 MiB a node
except ImportError:
    from hashlib import sha1

TYPE_CHECKING = False  # as ``typing`` has it, without the time to import that
if TYPE_CHECKING:
    from collections.abc import Mapping

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
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOKEN = _LETTERS + b"0123456789-!#$%&'*+.^_`|~"
_VISIBLE = bytes(range(0x21, 0x7F))
_VALUE = b"\t " + _VISIBLE + bytes(range(0x80, 0x100))


class Head:
    """What comes before the body of a request or an answer.

    Attributes:
        line: the first line.
        fields: all values of each field, by its name in small letters.
    """

    def __init__(self, line: str, fields: dict[str, list[str]]) -> None:
        self.line = line
        self.fields = fields

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


class Request:
    """The first line of a request, such as ``GET /path?query HTTP/1.1``.

    Attributes:
        method: in capital letters.
        path: without query.
        minor: the number behind the dot of the version.
    """

    def __init__(self, method: str, path: str, minor: str) -> None:
        self.method = method
        self.path = path
        self.minor = minor


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
        if not colon or not _consists_of(name, _TOKEN) or (value and not _consists_of(value, _VALUE)):
            raise TransportError(f"not a field of an HTTP head: {_shown(field)}")
        fields.setdefault(name.decode().lower(), []).append(value.strip(b" \t").decode("latin-1"))
    return Head(line.decode("latin-1"), fields)


def _consists_of(text: bytes, allowed: bytes) -> bool:
    """Whether there is some text, and nothing in it but these bytes."""
    return bool(text) and not text.translate(None, allowed)


def _shown(text: bytes) -> str:
    return ascii(text[:100].decode("latin-1"))


def read_request(head: Head) -> Request:
    """The request that a client makes, of whatever method.

    Raises:
        TransportError: it makes none.
    """
    line = head.line.encode("latin-1")
    method, target, version = [*line.split(b" "), b"", b"", b""][:3]
    is_request = _consists_of(method, _LETTERS.upper()) and _consists_of(target, _VISIBLE)
    if not is_request or version not in (b"HTTP/1.0", b"HTTP/1.1") or line.count(b" ") != 2:
        raise TransportError(f"not an HTTP request: {_shown(line)}")
    hosts = len(head.all("Host"))
    if version == b"HTTP/1.1" and hosts != 1:
        raise TransportError(f"an HTTP request with {hosts} Host fields: expected one")
    return Request(method.decode(), target.partition(b"?")[0].decode(), version[-1:].decode())


def accept(head: Head, fields: Mapping[str, str]) -> bytes:
    """The answer by which a request for a WebSocket is granted.

    Args:
        head: of the request.
        fields: what to tell beside.

    Raises:
        TransportError: the request is not as it should be.
    """
    keys = head.all("Sec-WebSocket-Key")
    if read_request(head).minor != "1" or not head.has_token("Connection", "upgrade"):
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
    return _base64(os.urandom(16))


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
    version, status = [*head.line.split(" "), ""][:2]
    if version not in ("HTTP/1.0", "HTTP/1.1") or not (status.isascii() and status.isdigit() and len(status) == 3):
        raise TransportError(f"no WebSocket is spoken there: not an HTTP answer: {_shown(head.line.encode('latin-1'))}")
    match status:
        case "101":
            pass
        case "403":
            raise TransportError(f"we are not served there (403): {head.get(REFUSAL) or 'the log there says why'}")
        case "409":
            raise TransportError("that is our own address")
        case _:
            raise TransportError(f"no WebSocket is spoken there: HTTP status {status}")
    if head.get("Sec-WebSocket-Accept") != _accept_value(key):
        raise TransportError("no WebSocket is spoken there: wrong Sec-WebSocket-Accept")
    if head.all("Sec-WebSocket-Extensions"):
        raise TransportError("the server wants an extension of WebSocket that we have not asked for")


def _head(line: str, fields: Mapping[str, str]) -> bytes:
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode("latin-1")


def _accept_value(key: str) -> str:
    return _base64(sha1((key + _SALT).encode("latin-1"), usedforsecurity=False).digest())


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _is_key(key: str) -> bool:
    try:
        return len(binascii.a2b_base64(key.encode("latin-1"), strict_mode=True)) == 16
    except ValueError:
        return False
