"""``Zeekfleet::``: what a controller tells an agent that it does not take, and by what deployments are told apart."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event


class AgentRefused(Event, frozen=True):
    """The controller's notice to an agent that it is not taken; ``reason`` is for a person."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::agent_refused"
    instance: str
    reason: str


class DeploymentNumber(Event, frozen=True):
    """Ahead of the request to deploy that has this id: its place in the order of its controller's deployments.

    Attributes:
        reqid: of the request that follows.
        controller: the controller's endpoint id; another one counts anew.
        number: a later deployment has a greater one.
    """

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::deployment_number"
    reqid: str
    controller: str
    number: int


"""Counted from 1; a repeated request has the number of the first."""
