"""``Zeekfleet::``: the progress and outcome of deployments, for all subscribers. Zeek's framework has no such events.

agent ── NotifyNodeActions ──> controller ── DeploymentProgress, DeploymentOutcome ──> topic zeekfleet/deployments
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from zeekfleet.broker.events.base import Event, Request, ResultResponse
from zeekfleet.model.deployments import NodeAction
from zeekfleet.model.types import Count


class NotifyNodeActions(Event, frozen=True):
    """An agent has decided what it will do about its nodes, and has not touched any. Published on the agent's topic.

    ``reqid`` is the id of the ``deploy_request`` that the agent received.
    """

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_node_actions"
    instance: str
    reqid: str
    config_id: str
    actions: tuple[NodeAction, ...]


class DeploymentProgress(Event, frozen=True):
    """How far a deployment has come; published whenever any of this changes.

    Attributes:
        reqid: the id of the client's request, or of the controller's own deployment.
        config_id: the configuration's id.
        step: the present step, such as ``queued`` or ``waiting for instances``.
        place: how many deployments come before this one; 0 when it has begun.
        instances: the instances that it waits for, by name, each with ``never connected`` or ``gone since 14:03``.
        nodes: the nodes that it waits for.
        actions: what is done about each node, as far as the agents have reported it.
        by: who wants it, and from where; ``""`` for the controller itself.
    """

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::deployment_progress"
    reqid: str
    config_id: str
    step: str
    place: Count = 0
    instances: dict[str, str] = msgspec.field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    actions: tuple[NodeAction, ...] = ()
    by: str = ""


class DeploymentOutcome(Event, frozen=True):
    """A deployment has ended; published before the ``deploy_response``.

    Attributes:
        reqid: as in :class:`DeploymentProgress`.
        config_id: the configuration's id.
        success: whether every node runs as it should.
        errors: what went wrong, one sentence for each problem.
        missing: the instances for whose absence it was given up, by name, each with since when it is gone.
        actions: what was done about each node, as far as the agents have reported it.
        by: as in :class:`DeploymentProgress`.
    """

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::deployment_outcome"
    reqid: str
    config_id: str
    success: bool
    errors: tuple[str, ...] = ()
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    actions: tuple[NodeAction, ...] = ()
    by: str = ""


class AbortDeploymentResponse(ResultResponse, frozen=True):
    """``result.data`` is a sentence: which deployment was given up, at which step, and what remains changed."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::abort_deployment_response"


class AbortDeploymentRequest(Request[AbortDeploymentResponse], frozen=True):
    """Give up the deployment with this request id, or the present one if it is ``""``; any client may do so."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::abort_deployment_request"
    deployment: str = ""
