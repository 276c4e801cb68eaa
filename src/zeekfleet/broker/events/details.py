"""``Zeekfleet::``: what is known of nodes beyond ``get_nodes``, and the reports of their crashes."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Request, ResultResponse, ResultsResponse


class AgentStatusResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of ``model.supervision.NodeReport``."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::status_response"


class AgentStatusRequest(Request[AgentStatusResponse], frozen=True):
    """Tell all that is known of this instance's cluster nodes."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::status_request"


class ControllerStatusResponse(ResultsResponse, frozen=True):
    """One result an instance, each with a vector of ``model.supervision.NodeReport``."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::status_response"


class ControllerStatusRequest(Request[ControllerStatusResponse], frozen=True):
    """Tell all that is known of every instance's cluster nodes."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::status_request"


class AgentDiagnosisResponse(ResultResponse, frozen=True):
    """``result.data`` is a ``model.supervision.Diagnosis``; none if the node is not of this instance."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::diagnosis_response"


class AgentDiagnosisRequest(Request[AgentDiagnosisResponse], frozen=True):
    """Hand out a node's last crash report."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::diagnosis_request"
    node: str


class ControllerDiagnosisResponse(ResultResponse, frozen=True):
    """As the agent told it."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::diagnosis_response"


class ControllerDiagnosisRequest(Request[ControllerDiagnosisResponse], frozen=True):
    """Hand out a node's last crash report."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::diagnosis_request"
    node: str
