"""The bounded queue of frames that a peer has yet to read: asyncio's own buffer, with a count of what is in it."""

from __future__ import annotations

import asyncio
from collections import deque


class Outgoing:
    """Writes at once, without a task switch, and refuses frames if too many are waiting.

    The kernel takes what it can in :meth:`write`; the transport buffers the
    rest. Where each buffered frame ends is remembered, so that frames can be
    counted as well as bytes.

    Args:
        transport: the connection's.
        frames: how many frames may wait.
        size: how many bytes may wait; a single frame may always wait, whatever its size.
    """

    def __init__(self, transport: asyncio.WriteTransport, frames: int, size: int) -> None:
        self._transport = transport
        self._frames, self._size = frames, size
        self._written = 0
        self._ends: deque[int] = deque()

    def write(self, frame: bytes) -> bool:
        """Send a frame. Returns False if the queue is full and the frame was not sent."""
        transport, ends = self._transport, self._ends
        waiting = transport.get_write_buffer_size()
        if waiting:
            sent = self._written - waiting
            while ends and ends[0] <= sent:
                ends.popleft()
            if len(ends) >= self._frames or waiting + len(frame) > self._size:
                return False
        else:
            ends.clear()
        transport.write(frame)
        self._written += len(frame)
        if transport.get_write_buffer_size():
            ends.append(self._written)
        return True
