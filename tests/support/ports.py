"""Ports for tests that start daemons: no other test is given them, be it of another run on this machine."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST, _RANGE = 10_000, 32_000, 500
"""Below the ports that the kernel hands out by itself, so that nobody gets ours by chance."""


class Ports:
    """Ports out of ranges that are this process's alone.

    A range is held by a bound socket with an abstract name: the kernel gives such a name to one process of a network
    namespace, and frees it with the process. So what is handed out stays ours while nobody listens on it yet.
    """

    def __init__(self) -> None:
        self._holders: list[socket.socket] = []
        self._next = self._end = 0

    def take(self, count: int) -> list[int]:
        """Neighbouring ports on loopback that nobody listens on, in rising order; never the same ones twice.

        Raises:
            AssertionError: all ranges are held.
        """
        assert 0 < count <= _RANGE
        while True:
            if self._next + count > self._end:
                self._hold_another_range()
            ports = list(range(self._next, self._next + count))
            taken = next((port for port in reversed(ports) if not _is_free(port)), None)
            if taken is None:
                self._next += count
                return ports
            self._next = taken + 1

    def _hold_another_range(self) -> None:
        for first in random.sample(range(_FIRST, _LAST, _RANGE), (_LAST - _FIRST) // _RANGE):
            holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                holder.bind(f"\0zeekfleet-test-ports-{first}")
            except OSError:
                holder.close()
                continue
            self._holders.append(holder)
            self._next, self._end = first, first + _RANGE
            return
        raise AssertionError("no free ports left")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


_ports = Ports()


def free_ports(count: int = 1) -> list[int]:
    """Neighbouring ports on loopback that are this process's alone (see :class:`Ports`)."""
    return _ports.take(count)
