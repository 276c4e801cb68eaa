"""Telling somebody who is not served just that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

REFUSALS_MAX = 64
"""Connections of strangers that are given an answer at a time; others are closed without."""

LINGER = 1.0
"""Seconds that a stranger has to read the answer and close."""

READ_MAX = 65536

REASON_HEADER = "X-Zeekfleet-Refusal"
"""Why, for a client of ours, whose library does not hand out the body of a refusal."""


class Forbidden(asyncio.Protocol):
    """Answers at once, whatever is asked, and looks at none of it.

    Args:
        reason: in words.
        present: those that are under way.
        ended: called when the connection is about to be closed.
    """

    def __init__(self, reason: str, present: set[Forbidden], ended: Callable[[], None]) -> None:
        self._reason = reason
        self._present = present
        self._ended = ended
        self._read = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - stream connections have one
        self._transport = transport
        self._present.add(self)
        transport.write(_response(self._reason))
        if transport.can_write_eof():
            self._timer = asyncio.get_running_loop().call_later(LINGER, transport.abort)
            try:
                # What we close unread the kernel answers with a reset, which may overtake the response.
                transport.write_eof()
            except OSError:
                transport.abort()  # it has gone, as a port scanner does
        else:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > READ_MAX:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._present.discard(self)
        self._ended()

    def end(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


def _response(reason: str) -> bytes:
    body = f"403: {reason}\n".encode()
    head = (
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n{REASON_HEADER}: {ascii(reason)[1:-1]}\r\n\r\n"
    )
    return head.encode() + body
