"""Limits the memory of frames that have arrived only in part, for all connections of a bus together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class UnfinishedFrames:
    """Bounds the memory that unfinished frames take.

    A peer may begin a large frame and never end it. If all unfinished frames together take too much memory, the
    connection with the oldest one is cut: a peer without bad intentions finishes a frame in a moment.

    Args:
        limit: bytes of all unfinished frames together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sizes: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self._total = 0

    def hold(self, connection: Hashable, size: int, cut: Callable[[], None], *, is_new: bool) -> None:
        """Note how many bytes of an unfinished frame a connection has now.

        Args:
            connection: the connection.
            size: the bytes; 0 if it has no unfinished frame.
            cut: closes the connection.
            is_new: whether this is another frame than in the last call.
        """
        former, _ = self._sizes.get(connection, (0, cut))
        if is_new:
            self._sizes.pop(connection, None)
        if size:
            self._sizes[connection] = size, cut
        else:
            self._sizes.pop(connection, None)
        self._total += size - former
        while self._total > self._limit and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            freed, cut_oldest = self._sizes.pop(oldest)
            self._total -= freed
            cut_oldest()
