"""``Zeekfleet::``: which instances are connected, and what the controller last heard of the others."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.model.presence import InstancePresence


class PresenceResponse(Response, frozen=True):
    """Every instance that is configured or connected, sorted by name; ``now`` is the controller's time."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::presence_response"
    now: float
    instances: tuple[InstancePresence, ...]


class PresenceRequest(Request[PresenceResponse], frozen=True):
    """Report what the controller knows without asking the agents, so that the response comes at once."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::presence_request"


class NotifySupervisor(Event, frozen=True):
    """An agent has lost its supervisor, or has one again (``away_since`` is None); times are seconds since 1970."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_supervisor"
    instance: str
    away_since: float | None
