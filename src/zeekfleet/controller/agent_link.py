"""A connection on which an agent has said hello."""

from __future__ import annotations

import msgspec

from zeekfleet.broker.generations import FIRST, Generation
from zeekfleet.model.management import Instance
from zeekfleet.transport.bus import Peer


class AgentLink(msgspec.Struct, frozen=True):
    """A connection on which an agent has said hello.

    Attributes:
        instance: its name, and the address and port as the controller sees them.
        peer: the connection on which it said hello.
        generation: the generation of names that it uses.
        endpoint: its endpoint id, ``""`` if it did not send one. Two links with the same id lead to the same agent.
    """

    instance: Instance
    peer: Peer
    generation: Generation
    endpoint: str = ""

    def is_same_agent(self, other: AgentLink) -> bool:
        """Whether these two links lead to the same agent."""
        return self.peer.is_same(other.peer) or bool(self.endpoint and self.endpoint == other.endpoint)

    def adds_nothing_to(self, before: AgentLink) -> bool:
        """Whether this repeats the earlier hello ``before``, or is the same hello in the first generation's names."""
        return self == before or (self.generation is FIRST and before.generation is not FIRST)

    @property
    def told_endpoint(self) -> str:
        """The agent's endpoint id, which it sent in the hello or when it connected."""
        return self.endpoint or self.peer.endpoint


def is_dialled_at(peer: Peer, instance: Instance) -> bool:
    """Whether the controller dialled this agent, and at the instance's present address and port.

    It may have dialled the agent for an instance of another name, or before a deployment moved the instance elsewhere.
    """
    dialled, port = peer.dialled_for, instance.listen_port
    if dialled is None or dialled.listen_port is None or port is None:
        return False
    return (dialled.host, dialled.listen_port.number) == (instance.host, port.number)
