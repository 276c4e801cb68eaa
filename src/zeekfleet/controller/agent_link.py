"""A connection on which an agent has said hello."""

from __future__ import annotations

import msgspec

from zeekfleet.broker.generations import FIRST, Generation
from zeekfleet.model.management import Instance
from zeekfleet.transport.bus import Peer


class AgentLink(msgspec.Struct, frozen=True):
    """An agent, by one of its connections.

    Attributes:
        instance: its name, and the address and port as the controller sees them.
        peer: the connection it said hello on.
        generation: whose names it speaks.
        endpoint: the id of its endpoint, ``""`` if it did not tell: two links with one id lead to one agent.
    """

    instance: Instance
    peer: Peer
    generation: Generation
    endpoint: str = ""

    def is_same_agent(self, other: AgentLink) -> bool:
        """Whether these two links lead to one agent."""
        return self.peer.is_same(other.peer) or bool(self.endpoint and self.endpoint == other.endpoint)

    def adds_nothing_to(self, before: AgentLink) -> bool:
        """Whether this repeats an earlier hello, or says in the first generation's names what that said in ours."""
        return self == before or (self.generation is FIRST and before.generation is not FIRST)

    @property
    def told_endpoint(self) -> str:
        """The id of its endpoint, whether told in the hello or when connecting."""
        return self.endpoint or self.peer.endpoint


def is_dialled_at(peer: Peer, instance: Instance) -> bool:
    """Whether the controller dialled this agent where the instance is.

    It may have done so for an instance of another name, or for this one before a deployment moved it elsewhere.
    """
    dialled, port = peer.dialled_for, instance.listen_port
    if dialled is None or dialled.listen_port is None or port is None:
        return False
    return (dialled.host, dialled.listen_port.number) == (instance.host, port.number)
