"""``Zeekfleet::``: nodes that take their time to stop, since they have much to write.

supervisor ── NodeStopping ──> agent ── NotifyNodeStopping ──> its topic, for the controller and who listens there
client ── ControllerHurry ──> controller ── AgentHurry ──> agents ── Hurry ──> supervisor
"""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.types import Count


class NotifyNodeStopping(Event, frozen=True):
    """A node that was asked to end still works, and is given time. Told every few seconds.

    Attributes:
        instance: where it runs.
        node: its name.
        written: bytes that it has written since it was asked.
        cpu: seconds of CPU that it has used since.
        elapsed: seconds since it was asked.
    """

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_node_stopping"
    instance: str
    node: str
    written: Count
    cpu: float
    elapsed: float


class AgentHurry(Event, frozen=True):
    """Give these nodes no more than their grace, if they are being stopped. Unanswered."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::hurry"
    nodes: frozenset[str]


class ControllerHurry(Event, frozen=True):
    """As :class:`AgentHurry`, from a client: the controller passes it on to all agents."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::hurry"
    nodes: frozenset[str]
