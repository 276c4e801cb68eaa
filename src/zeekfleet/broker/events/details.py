"""``Zeekfleet::``: more about nodes than ``get_nodes`` tells, and their crash reports."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Request, ResultResponse, ResultsResponse


class AgentStatusResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of ``model.supervision.NodeReport``."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::status_response"


class AgentStatusRequest(Request[AgentStatusResponse], frozen=True):
    """Report everything that is known about this instance's cluster nodes."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::status_request"


class ControllerStatusResponse(ResultsResponse, frozen=True):
    """One result for each instance, with a vector of ``model.supervision.NodeReport``."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::status_response"


class ControllerStatusRequest(Request[ControllerStatusResponse], frozen=True):
    """Report everything that is known about the cluster nodes of all instances."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::status_request"


class AgentDiagnosisResponse(ResultResponse, frozen=True):
    """``result.data`` is a ``model.supervision.Diagnosis``; none if the instance has no such node."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::diagnosis_response"


class AgentDiagnosisRequest(Request[AgentDiagnosisResponse], frozen=True):
    """Return a node's last crash report."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::diagnosis_request"
    node: str


class ControllerDiagnosisResponse(ResultResponse, frozen=True):
    """The agent's result."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::diagnosis_response"


class ControllerDiagnosisRequest(Request[ControllerDiagnosisResponse], frozen=True):
    """Return a node's last crash report."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::diagnosis_request"
    node: str
