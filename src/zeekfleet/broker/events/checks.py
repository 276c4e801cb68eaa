"""``Zeekfleet::``: checking a configuration without touching the cluster. Zeek's framework has no such events.

An agent is sent such a request only after it has reported, with
:class:`NotifyCapabilities`, that it can answer.
"""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, Response, ResultsResponse
from zeekfleet.model.management import Configuration
from zeekfleet.model.types import Count

CHECK = "check"
"""The capability of an agent that answers :class:`AgentCheckRequest`."""


PORTS = "ports"
"""The capability of an agent that answers :class:`AgentPortsRequest`."""


class AgentCheckResponse(ResultsResponse, frozen=True):
    """One failed result for each problem, with its nodes' names as ``data``; one success if there is no problem."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::check_response"


class AgentCheckRequest(Request[AgentCheckResponse], frozen=True):
    """Would the instance's nodes come up with this configuration? ``deployed`` is what the cluster runs now."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::check_request"
    config: Configuration
    deployed: Configuration | None = None


class ControllerCheckResponse(ResultsResponse, frozen=True):
    """The agents' results. A success with a text as ``data`` belongs to an instance that could not be checked."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::check_response"


class ControllerCheckRequest(Request[ControllerCheckResponse], frozen=True):
    """Validate a configuration and have all instances check it; nothing is staged."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::check_request"
    config: Configuration


class AgentPortsResponse(Response, frozen=True):
    """The TCP ports on which other programs than the cluster's nodes listen, sorted."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::ports_response"
    ports: tuple[Count, ...]


class AgentPortsRequest(Request[AgentPortsResponse], frozen=True):
    """On which ports of the host do other programs listen? ``deployed`` is what the cluster runs now."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::ports_request"
    deployed: Configuration | None = None


class NotifyCapabilities(Event, frozen=True):
    """What an agent can do in addition to the protocol; it follows the agent's hello."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_capabilities"
    instance: str
    names: frozenset[str]
