"""``Zeekfleet::``: nodes that need long to stop, because they have much to write.

supervisor ── NodeStopping ──> agent ── NotifyNodeStopping ──> the agent's topic, for the controller and its clients
client ── ControllerHurry ──> controller ── AgentHurry ──> agents ── Hurry ──> supervisor
"""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.types import Count


class NotifyNodeStopping(Event, frozen=True):
    """A node that was told to end still works, and is given more time. Sent every few seconds.

    Attributes:
        instance: the instance that runs it.
        node: the node's name.
        written: bytes that it has written since it was told to end.
        cpu: seconds of CPU that it has used since then.
        elapsed: seconds since it was told to end.
    """

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_node_stopping"
    instance: str
    node: str
    written: Count
    cpu: float
    elapsed: float


class AgentHurry(Event, frozen=True):
    """If these nodes are being stopped, kill them as soon as their grace is over. There is no response."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::hurry"
    nodes: frozenset[str]


class ControllerHurry(Event, frozen=True):
    """A client's :class:`AgentHurry`; the controller passes it on to all agents."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::hurry"
    nodes: frozenset[str]
