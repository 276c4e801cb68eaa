"""``Zeekfleet::``: which release of zeekfleet each part runs."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.management import Result
from zeekfleet.model.releases import PartRelease

RELEASES = "releases"
"""The capability of an agent that answers :class:`AgentReleasesRequest`."""


class SupervisorReleasesResponse(Event, frozen=True):
    """The supervisor and its stem."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::releases_response"
    reqid: str
    result: tuple[PartRelease, ...]


class SupervisorReleasesRequest(Event, frozen=True):
    """What do supervisor and stem run?"""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::releases_request"
    response: ClassVar[type[Event] | None] = SupervisorReleasesResponse
    reqid: str


class AgentReleasesResponse(Event, frozen=True):
    """``result.data`` is a vector of :class:`PartRelease`: the agent, and what its supervisor told."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::releases_response"
    reqid: str
    result: Result


class AgentReleasesRequest(Event, frozen=True):
    """What do the parts of this instance run?"""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::releases_request"
    response: ClassVar[type[Event] | None] = AgentReleasesResponse
    reqid: str


class ControllerReleasesResponse(Event, frozen=True):
    """The controller's own result, without instance, then one an instance; ``data`` as in the agents' answers."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::releases_response"
    reqid: str
    results: tuple[Result, ...]


class ControllerReleasesRequest(Event, frozen=True):
    """What does every part of the fleet run?"""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::releases_request"
    response: ClassVar[type[Event] | None] = ControllerReleasesResponse
    reqid: str
