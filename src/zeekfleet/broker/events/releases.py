"""``Zeekfleet::``: which release of zeekfleet each part runs."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Request, Response, ResultResponse, ResultsResponse, SupervisorRequest
from zeekfleet.model.releases import PartRelease

RELEASES = "releases"
"""The capability of an agent that answers :class:`AgentReleasesRequest`."""


class SupervisorReleasesResponse(Response, frozen=True):
    """The supervisor and its stem."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::releases_response"
    result: tuple[PartRelease, ...]


class SupervisorReleasesRequest(SupervisorRequest[SupervisorReleasesResponse], frozen=True):
    """What do supervisor and stem run?"""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::releases_request"


class AgentReleasesResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of :class:`PartRelease`: the agent, and what its supervisor told."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::releases_response"


class AgentReleasesRequest(Request[AgentReleasesResponse], frozen=True):
    """What do the parts of this instance run?"""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::releases_request"


class ControllerReleasesResponse(ResultsResponse, frozen=True):
    """The controller's own result, without instance, then one an instance; ``data`` as in the agents' answers."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::releases_response"


class ControllerReleasesRequest(Request[ControllerReleasesResponse], frozen=True):
    """What does every part of the fleet run?"""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::releases_request"
