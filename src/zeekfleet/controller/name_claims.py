"""Decides which agent gets an instance's name if several agents claim it: pure bookkeeping.

The first agent with a name keeps it while it is connected; others are refused, and wait. When it disconnects, the name
is reserved for it for a while, because it may only be restarting while its nodes run on: another agent would run the
same nodes a second time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.transport.bus import Peer

NAMESAKES_MAX = 16
"""The most refused agents with the same name that are remembered."""


class Reservation(msgspec.Struct, frozen=True):
    """A name that is kept for the agent that had it.

    Attributes:
        host: that agent's address, as the controller saw it.
        endpoint: the id of its endpoint, ``""`` if that is not known.
    """

    host: str
    endpoint: str = ""

    def is_for(self, link: AgentLink) -> bool:
        """Whether this may be that agent: the same process, or another one on the same host."""
        return link.peer.host == self.host or bool(self.endpoint and self.endpoint == link.told_endpoint)


class NameClaims:
    """Reservations, and the agents that wait for a name."""

    def __init__(self) -> None:
        self._reserved: dict[str, Reservation] = {}
        self._waiting: dict[str, dict[int, AgentLink]] = {}

    def may_have(self, link: AgentLink) -> bool:
        """Whether the agent may have its name: the name is not reserved, or reserved for this agent."""
        reservation = self._reserved.get(link.instance.name)
        return reservation is None or reservation.is_for(link)

    def taken(self, name: str) -> None:
        """An agent has this name now: end its reservation."""
        self._reserved.pop(name, None)

    # --- reservations

    def reserve(self, reservations: Mapping[str, Reservation]) -> None:
        """Keep these names for the agents that had them."""
        self._reserved |= reservations

    def reservation(self, name: str) -> Reservation | None:
        """The reservation of this name, if there is one."""
        return self._reserved.get(name)

    def end_reservation(self, name: str, reservation: Reservation) -> bool:
        """End this reservation. Returns False if it had ended already."""
        if self._reserved.get(name) is not reservation:
            return False
        del self._reserved[name]
        return True

    def end_others(self, names: Collection[str]) -> set[str]:
        """End all reservations except those of these names. Returns the names that are free now."""
        freed = self._reserved.keys() - set(names)
        for name in freed:
            del self._reserved[name]
        return freed

    # --- agents that wait for a name

    def refuse(self, link: AgentLink) -> bool:
        """Let an agent wait for its name. Returns False if it waits already."""
        waiting = self._waiting.setdefault(link.instance.name, {})
        before = waiting.get(link.peer.id)
        if before is not None and link.adds_nothing_to(before):
            return False
        if before is not None or len(waiting) < NAMESAKES_MAX:
            waiting[link.peer.id] = link
        return before is None

    def is_waiting(self, name: str, peer: Peer) -> bool:
        """Whether the agent at this connection waits for the name."""
        return peer.id in self._waiting.get(name, {})

    def next_agent(self, name: str) -> AgentLink | None:
        """Give the name to the first agent that waits for it and may have it; None if there is no such agent."""
        waiting = self._waiting.get(name, {})
        link = next((link for link in waiting.values() if self.may_have(link)), None)
        if link is not None:
            self.stop_waiting(name, link.peer)
            self.taken(name)
        return link

    def waiting(self, name: str) -> tuple[AgentLink, ...]:
        """The agents that wait for this name, the first one first."""
        return tuple(self._waiting.get(name, {}).values())

    def forget(self, peer: Peer) -> None:
        """A connection has ended: the agents that it belonged to no longer wait."""
        for name in [name for name, waiting in self._waiting.items() if peer.id in waiting]:
            self.stop_waiting(name, peer)

    def stop_waiting(self, name: str, peer: Peer) -> None:
        """The agent at this connection no longer waits for the name."""
        del self._waiting[name][peer.id]
        if not self._waiting[name]:
            del self._waiting[name]
