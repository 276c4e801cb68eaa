"""``Zeekfleet::``: which instances are connected, and what the controller last heard of the others.

An agent that says so (:data:`RENEWS`) gives a sign of life again and again. While the controller hears anything of such
an agent, it has a lease; when that has run out, it counts as gone, whether its connection has ended or not. So presence
needs no connections. On connections that end, or that answer no pings, the agent is gone as soon as these are.
"""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.model.presence import InstancePresence

RENEWS = "lease"
"""The capability of an agent that sends :class:`NotifyAlive`."""

LEASE = 15.0
"""Seconds for which anything that is heard of such an agent counts as a sign of life."""

RENEWAL = LEASE / 3
"""Seconds, at most, between two signs of life: two that get lost in a row do no harm."""


class PresenceResponse(Response, frozen=True):
    """What the controller knows of instances without asking their agents.

    Attributes:
        now: the controller's time, in seconds since 1970.
        instances: those that are configured or connected, sorted by name.
        insecure: whether the controller serves other hosts that show no certificate.
    """

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::presence_response"
    now: float
    instances: tuple[InstancePresence, ...]
    insecure: bool = False


class PresenceRequest(Request[PresenceResponse], frozen=True):
    """Report what the controller knows without asking the agents, so that the response comes at once."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::presence_request"


class NotifySupervisor(Event, frozen=True):
    """An agent has lost its supervisor, or has one again (``away_since`` is None); times are seconds since 1970."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_supervisor"
    instance: str
    away_since: float | None


class NotifyAlive(Event, frozen=True):
    """An agent is there. Nothing is said by it that an agent's other events do not say as well."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_alive"
    instance: str


class AgentHelloRequest(Event, frozen=True):
    """Say hello: the controller has heard a sign of life of an agent that it does not know, or no longer."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::hello_request"
