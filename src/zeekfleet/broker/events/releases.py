"""``Zeekfleet::``: which release of zeekfleet each process runs."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Request, Response, ResultResponse, ResultsResponse, SupervisorRequest
from zeekfleet.model.releases import PartRelease

RELEASES = "releases"
"""The capability of an agent that answers :class:`AgentReleasesRequest`."""


class SupervisorReleasesResponse(Response, frozen=True):
    """The releases of the supervisor and its stem."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::releases_response"
    result: tuple[PartRelease, ...]


class SupervisorReleasesRequest(SupervisorRequest[SupervisorReleasesResponse], frozen=True):
    """Which release do the supervisor and its stem run?"""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::releases_request"


class AgentReleasesResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of :class:`PartRelease`: the agent's, and those that its supervisor reported."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::releases_response"


class AgentReleasesRequest(Request[AgentReleasesResponse], frozen=True):
    """Which releases do the processes of this instance run?"""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::releases_request"


class ControllerReleasesResponse(ResultsResponse, frozen=True):
    """The controller's own result, without instance, then one for each instance; ``data`` as in agents' responses."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::releases_response"


class ControllerReleasesRequest(Request[ControllerReleasesResponse], frozen=True):
    """Which releases do the processes of the whole fleet run?"""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::releases_request"
