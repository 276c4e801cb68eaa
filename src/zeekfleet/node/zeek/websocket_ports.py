"""Chooses the ports on loopback where nodes listen for the agent's WebSocket."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.system.ports import ReservedPorts, reserve_any

CHOICES = 2
"""How many choices stay reserved: a check and the deployment after it each make one."""


class WebSocketPorts:
    """Chooses ports and reserves them, so that no other program takes them before their nodes listen.

    The ports stay reserved while nodes run, because a node that is started again listens on the same port.
    """

    def __init__(self) -> None:
        self._reserved: dict[str, ReservedPorts] = {}
        self._latest: deque[frozenset[str]] = deque(maxlen=CHOICES)

    def choose(self, count: int, running: Collection[str]) -> list[str]:
        """Choose free ports and reserve them.

        Args:
            count: how many ports are needed.
            running: the ports of running nodes, which keep them.

        Raises:
            OSError: there are not enough free ports.
        """
        found: list[str] = []
        while len(found) < count:
            reserved = reserve_any(LOOPBACK, 1)
            port = str(reserved.numbers[0])
            self._reserved[port] = reserved
            # The port of a node that has just crashed looks free, but the node will listen there again.
            if port not in running:
                found.append(port)
        self._latest.append(frozenset(found))
        wanted = frozenset(running).union(*self._latest)
        for port in self._reserved.keys() - wanted:
            self._reserved.pop(port).close()
        return found

    def close(self) -> None:
        """Release all ports."""
        for reserved in self._reserved.values():
            reserved.close()
        self._reserved.clear()
