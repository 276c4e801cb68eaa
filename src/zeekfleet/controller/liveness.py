"""Notices agents that have fallen silent. On a bus without connections, there is no other sign that one has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zeekfleet.broker.events.presence import LEASE
from zeekfleet.controller.leases import Leases
from zeekfleet.transport.bus import Peer

REPRIEVE = 2.0
"""Seconds between the end of an agent's lease and giving it up, to read what has arrived."""


class Liveness:
    """Keeps leases of the agents that have promised to renew them. Other agents are never taken for silent.

    An agent may have several connections, but it is heard on only one of them. So it has one lease for all.

    Args:
        on_silent: called with each connection of an agent that has fallen silent, and a reason for a person.
    """

    def __init__(self, on_silent: Callable[[Peer, str], None]) -> None:
        self._on_silent = on_silent
        self._leases = Leases[str](LEASE, REPRIEVE)
        self._reason = f"nothing was heard of it for {LEASE + REPRIEVE:g} s"
        self._peers: dict[str, dict[int, Peer]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def promised(self, peer: Peer) -> None:
        """The agent at this connection has said that it renews its lease."""
        self._peers.setdefault(_program(peer), {})[peer.id] = peer
        self._leases.grant(_program(peer), asyncio.get_running_loop().time())
        if self._timer is None:
            self._wait()

    def heard(self, peer: Peer) -> None:
        """Something has arrived from this peer, whoever that is."""
        self._leases.heard(_program(peer), asyncio.get_running_loop().time())

    def lost(self, peer: Peer) -> None:
        """A connection has ended, or counts as ended."""
        peers = self._peers.get(_program(peer), {})
        if peers.pop(peer.id, None) is not None and not peers:
            del self._peers[_program(peer)]
            self._leases.end(_program(peer))

    def close(self) -> None:
        """Stop waiting for leases to end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        """Look again when the first of the present leases ends. Renewals leave the timer alone, so they are cheap."""
        at = self._leases.next_look
        self._timer = None if at is None else asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for program in self._leases.given_up(loop.time()):
            for peer in self._peers.pop(program).values():
                loop.call_soon(self._on_silent, peer, self._reason)
        self._wait()


def _program(peer: Peer) -> str:
    """A key that is the same for all peers of one program (:meth:`Peer.is_same`)."""
    return peer.endpoint or str(peer.id)
