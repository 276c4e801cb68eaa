"""Ports on loopback where nodes open the WebSocket that the agent dials."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.system.ports import KeptPorts, keep_any

CHOICES = 2
"""A check, and the deployment that comes after it, both choose."""


class WebSocketPorts:
    """Chooses them, and keeps them from everybody else: until their nodes listen, and while they are started again."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptPorts] = {}
        self._latest: deque[frozenset[str]] = deque(maxlen=CHOICES)

    def choose(self, count: int, running: Collection[str]) -> list[str]:
        """As many that nobody has.

        Args:
            count: how many are needed.
            running: those of nodes that run, which keep theirs.

        Raises:
            OSError: there are none left.
        """
        found: list[str] = []
        while len(found) < count:
            kept = keep_any(LOOPBACK, 1)
            port = str(kept.numbers[0])
            self._kept[port] = kept
            # A node that has just died listens on its port no more, but will.
            if port not in running:
                found.append(port)
        self._latest.append(frozenset(found))
        wanted = frozenset(running).union(*self._latest)
        for port in self._kept.keys() - wanted:
            self._kept.pop(port).close()
        return found

    def close(self) -> None:
        """Let go of all."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()
