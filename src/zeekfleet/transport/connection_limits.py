"""How many connections a listener has: in all, of one peer, and of those that have not been upgraded yet. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Hashable

import msgspec

SUBNET = 64
"""Bits of an IPv6 address that one peer is counted by: whoever has a network of that size has all its addresses."""


class Entry(msgspec.Struct, eq=False):
    """A connection that is counted.

    Attributes:
        who: whose it is, such as an address or a user.
        end: closes it.
        is_upgraded: whether it has been upgraded, and so counts as a connection rather than as a handshake.
    """

    who: Hashable
    end: Callable[[], None]
    is_upgraded: bool = False


class ConnectionLimits:
    """Counts a listener's connections.

    A connection that has not been upgraded takes memory, for TLS about 400 kB, and costs its sender nothing. If there
    are too many, the oldest one of whoever has most of them is closed, so that new ones always have their turn. An
    upgraded connection is never closed for another one; what is beyond the limits is refused.

    Args:
        connections: how many upgraded connections there may be.
        each: how many of them one peer may have.
        handshakes: how many connections may be on their way to the upgrade.
    """

    def __init__(self, connections: int, each: int, handshakes: int) -> None:
        self._connections = connections
        self._each = each
        self._handshakes = handshakes
        self._pending: dict[Hashable, dict[Entry, None]] = {}
        self._pending_count = 0
        self._upgraded: Counter[Hashable] = Counter()
        self._upgraded_count = 0

    def begin(self, who: Hashable, end: Callable[[], None]) -> tuple[Entry, Entry | None]:
        """Count a connection that has just been accepted.

        Args:
            who: whose it is.
            end: closes it; called by the caller, for the entry that is to give way.

        Returns:
            Its entry, and the entry that has to give way to it, None if there is room. The latter is not counted any
            more, and its connection has to be closed.
        """
        entry = Entry(who, end)
        self._pending.setdefault(who, {})[entry] = None
        self._pending_count += 1
        if self._pending_count <= self._handshakes:
            return entry, None
        greediest = max(self._pending.values(), key=len)
        oldest = next(iter(greediest))
        self.forget(oldest)
        return entry, oldest

    def upgrade(self, entry: Entry) -> str:
        """Count a connection as upgraded; why it may not be, as the end of a sentence, ``""`` if it may."""
        if self._upgraded_count >= self._connections:
            return f"there are {self._connections} connections already"
        if self._upgraded[entry.who] >= self._each:
            return f"there are {self._each} connections of this peer already"
        self.forget(entry)
        entry.is_upgraded = True
        self._upgraded[entry.who] += 1
        self._upgraded_count += 1
        return ""

    def forget(self, entry: Entry) -> None:
        """Count this connection no more; nothing happens if it is not counted."""
        if entry.is_upgraded:
            entry.is_upgraded = False
            self._upgraded_count -= 1
            self._upgraded[entry.who] -= 1
            if not self._upgraded[entry.who]:
                del self._upgraded[entry.who]
            return
        pending = self._pending.get(entry.who, {})
        if entry in pending:
            del pending[entry]
            self._pending_count -= 1
            if not pending:
                del self._pending[entry.who]


def peer_of(uid: int | None, host: str) -> Hashable:
    """By what a peer's connections are counted: its user on this host, else its address or IPv6 network.

    Args:
        uid: of the peer; None if it is not on this host, or unknown.
        host: its address, ``""`` for a Unix socket.
    """
    if uid is not None:
        return uid
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return ipaddress.ip_network((address, SUBNET), strict=False)
    return address
