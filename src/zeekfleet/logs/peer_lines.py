"""Bounds how many log lines peers can cause.

Whoever connects again and again must not fill the disk, or hide other lines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

EACH_PER_SECOND, EACH_BURST = 5.0, 200.0
"""Lines about one host; a host may have many agents and clients, which come and go at the same time."""

ALL_PER_SECOND, ALL_BURST = 50.0, 2000.0
"""Lines about all hosts together. At 50 a second, the 64 MiB of a management log last for some two hours, and a
thousand agents that are cut off at the same time have a line each."""

HOSTS_MAX = 1000
"""Hosts that are remembered; when there are more, all begin anew."""


class _Bucket:
    """Lines that may be written now, and how many were not since the last that was."""

    def __init__(self, burst: float, now: float) -> None:
        self.lines = burst
        self.filled = now
        self.left_out = 0

    def has_room(self, per_second: float, burst: float, now: float) -> bool:
        self.lines = min(burst, self.lines + (now - self.filled) * per_second)
        self.filled = now
        return self.lines >= 1


class PeerLines(logging.Filter):
    """Leaves out lines with an ``address`` if there are too many of its host, or of all hosts.

    One line says so, and one says how many there were, as soon as there is room for a line again. All handlers of a
    process share one filter, since each record counts once. Lines of another process (``source``) were counted there.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._hosts: dict[str, _Bucket] = {}
        self._all = _Bucket(ALL_BURST, clock())

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        told = vars(record)
        address = told.get("address")
        if not isinstance(address, str) or "source" in told:
            return True
        decided: bool | None = told.get("is_written")
        if decided is None:
            decided = told["is_written"] = self._is_written(_host(address))
        return decided

    def _is_written(self, host: str) -> bool:
        now = self._clock()
        bucket = self._hosts.get(host)
        if bucket is None:
            if len(self._hosts) >= HOSTS_MAX:
                self._hosts.clear()
            bucket = self._hosts[host] = _Bucket(EACH_BURST, now)
        has_room = bucket.has_room(EACH_PER_SECOND, EACH_BURST, now)
        if not has_room:
            _leave_out(bucket, f"lines about {host or 'peers'}", EACH_PER_SECOND)
        elif not (has_room := self._all.has_room(ALL_PER_SECOND, ALL_BURST, now)):
            _leave_out(self._all, "lines about peers", ALL_PER_SECOND)
        else:
            bucket.lines -= 1
            self._all.lines -= 1
            _tell(bucket, f"lines about {host or 'peers'}")
            _tell(self._all, "lines about peers")
        return has_room


def _leave_out(bucket: _Bucket, what: str, per_second: float) -> None:
    bucket.left_out += 1
    if bucket.left_out == 1:
        logger.warning("there are more than %g %s a second: not all are written", per_second, what)


def _tell(bucket: _Bucket, what: str) -> None:
    left_out, bucket.left_out = bucket.left_out, 0
    if left_out:
        logger.warning("%d %s were not written", left_out, what)


def _host(address: str) -> str:
    """The host of ``HOST:PORT``; an address without port, or a socket file, is its own."""
    if address.startswith("unix:") or (address.count(":") != 1 and not address.startswith("[")):
        return address
    return address.rpartition(":")[0] or address


PEER_LINES = PeerLines()
"""The filter of this process's handlers."""
