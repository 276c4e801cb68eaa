"""``Zeekfleet::``: who is there, and what was last heard of those who are not."""

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
    """Tell what is known without asking anybody: it is answered at once, before any request that comes after it."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::presence_request"


class NotifySupervisor(Event, frozen=True):
    """An agent has lost its supervisor, or has one (``away_since`` is None)."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_supervisor"
    instance: str
    away_since: float | None
