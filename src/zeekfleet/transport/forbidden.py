"""Tells peers that are not served that they are not served."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from zeekfleet.transport.acceptor import Served
from zeekfleet.transport.upgrade import REFUSAL, refusal

REFUSALS_MAX = 64
"""The most connections that are being answered at the same time; others are closed without an answer."""

LINGER = 1.0
"""Seconds that the peer has to read the answer and close."""

READ_MAX = 65536


class Forbidden(Served):
    """Answers at once with a refusal, without looking at what the peer sends.

    Args:
        reason: the reason, for the answer.
        present: the set of all that are being answered; this one adds and removes itself.
    """

    def __init__(self, reason: str, present: set[Forbidden]) -> None:
        self._reason = reason
        self._present = present
        self._read = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - stream connections have one
        self._transport = transport
        self._present.add(self)
        transport.write(refusal(HTTPStatus.FORBIDDEN, self._reason, {REFUSAL: self._reason}).serialize())
        if transport.can_write_eof():
            self._timer = asyncio.get_running_loop().call_later(LINGER, transport.abort)
            try:
                # If we closed with unread data, the kernel would send a reset, which may overtake the response.
                transport.write_eof()
            except OSError:
                transport.abort()  # it has gone, as a port scanner does
        else:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > READ_MAX:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._present.discard(self)
        self._gone.set()

    async def serve(self) -> None:
        """Wait until the peer has gone. If cancelled, close at once."""
        try:
            await self._gone.wait()
        finally:
            self._end()

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()
