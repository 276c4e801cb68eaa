"""``Zeekfleet::``: a controller's refusal of an agent, and the order of a controller's deployments."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event


class AgentRefused(Event, frozen=True):
    """The controller does not accept this agent; ``reason`` is a sentence for a person."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::agent_refused"
    instance: str
    reason: str


class DeploymentNumber(Event, frozen=True):
    """Sent before a request to deploy: the request's place in the order of this controller's deployments.

    Attributes:
        reqid: the id of the request that follows.
        controller: the controller's endpoint id; each controller process counts its own deployments.
        number: counted from 1. A later deployment has a greater number; a repeated request has its first number.
    """

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::deployment_number"
    reqid: str
    controller: str
    number: int
