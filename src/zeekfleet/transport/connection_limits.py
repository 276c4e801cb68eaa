"""How many connections a listener has: in all, of one peer, and of those that have not been upgraded yet. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Hashable

import msgspec

SUBNET = 64
"""IPv6 peers are counted by so many bits of their address: whoever has a network of that size has all its addresses."""


class Entry(msgspec.Struct, eq=False):
    """A connection that is counted.

    Attributes:
        who: its peer, such as an address or a user.
        end: closes it.
        is_upgraded: whether it has been upgraded, and so counts as a connection rather than as a handshake.
    """

    who: Hashable
    end: Callable[[], None]
    is_upgraded: bool = False


class ConnectionLimits:
    """Counts a listener's connections.

    A connection that has not been upgraded takes memory (with TLS about 400 kB), but costs its sender nothing. If there
    are too many, the peer that has most of them loses its oldest one, so that new peers can always connect. An upgraded
    connection is never closed in favour of another one; if there are too many, new ones are refused.

    Args:
        connections: how many upgraded connections there may be.
        each: how many of them one peer may have.
        handshakes: how many connections may not have been upgraded yet.
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
            who: its peer.
            end: closes it. Not called here: the caller closes the connection that has to give way.

        Returns:
            Its entry, and the entry that has to give way to it; None if there is room. The latter is not counted any
            more, and the caller has to close its connection.
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
        """Count a connection as upgraded. Returns why it must not be upgraded, as the end of a sentence, or ``""``."""
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
        """Stop counting this connection. Does nothing if it is not counted."""
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
    """The key by which a peer's connections are counted: its user on this host, else its address or IPv6 network.

    Args:
        uid: the peer's user; None if it is on another host, or unknown.
        host: the peer's address; ``""`` for a Unix socket.
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
