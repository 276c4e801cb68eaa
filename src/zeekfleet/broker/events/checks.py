"""``Zeekfleet::``: what Zeek's own framework does not have, checking a configuration without touching the cluster.

Whoever does not know these events ignores them: an agent is asked only after it
said that it can (:class:`NotifyCapabilities`).
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
    """One failed result a problem, its nodes' names as ``data``; one plain success if there is none."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::check_response"


class AgentCheckRequest(Request[AgentCheckResponse], frozen=True):
    """Would the instance's nodes come up with this configuration? ``deployed`` is what the cluster runs now."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::check_request"
    config: Configuration
    deployed: Configuration | None = None


class ControllerCheckResponse(ResultsResponse, frozen=True):
    """The agents' results; a success whose ``data`` is a text is of an instance that could not be checked."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::check_response"


class ControllerCheckRequest(Request[ControllerCheckResponse], frozen=True):
    """Validate a configuration and have all instances check it; nothing is staged."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::check_request"
    config: Configuration


class AgentPortsResponse(Response, frozen=True):
    """TCP ports that others listen on, sorted; the cluster's own nodes' are not among them."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::ports_response"
    ports: tuple[Count, ...]


class AgentPortsRequest(Request[AgentPortsResponse], frozen=True):
    """Which ports of the host are taken by others than the cluster's nodes? ``deployed`` is what the cluster runs."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::ports_request"
    deployed: Configuration | None = None


class NotifyCapabilities(Event, frozen=True):
    """What an agent can do beyond the protocol; follows its hello."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_capabilities"
    instance: str
    names: frozenset[str]
