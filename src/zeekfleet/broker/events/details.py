"""``Zeekfleet::``: what is known of nodes beyond ``get_nodes``, and the reports of their crashes."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.management import Result


class AgentStatusResponse(Event, frozen=True):
    """``result.data`` is a vector of ``model.supervision.NodeReport``."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::status_response"
    reqid: str
    result: Result


class AgentStatusRequest(Event, frozen=True):
    """Tell all that is known of this instance's cluster nodes."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::status_request"
    response: ClassVar[type[Event] | None] = AgentStatusResponse
    reqid: str


class ControllerStatusResponse(Event, frozen=True):
    """One result an instance, each with a vector of ``model.supervision.NodeReport``."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::status_response"
    reqid: str
    results: tuple[Result, ...]


class ControllerStatusRequest(Event, frozen=True):
    """Tell all that is known of every instance's cluster nodes."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::status_request"
    response: ClassVar[type[Event] | None] = ControllerStatusResponse
    reqid: str


class AgentDiagnosisResponse(Event, frozen=True):
    """``result.data`` is a ``model.supervision.Diagnosis``; none if the node is not of this instance."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::diagnosis_response"
    reqid: str
    result: Result


class AgentDiagnosisRequest(Event, frozen=True):
    """Hand out a node's last crash report."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::diagnosis_request"
    response: ClassVar[type[Event] | None] = AgentDiagnosisResponse
    reqid: str
    node: str


class ControllerDiagnosisResponse(Event, frozen=True):
    """As the agent told it."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::diagnosis_response"
    reqid: str
    result: Result


class ControllerDiagnosisRequest(Event, frozen=True):
    """Hand out a node's last crash report."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::diagnosis_request"
    response: ClassVar[type[Event] | None] = ControllerDiagnosisResponse
    reqid: str
    node: str
