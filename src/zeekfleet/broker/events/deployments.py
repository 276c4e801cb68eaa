"""``Zeekfleet::``: news of deployments, for whoever listens; Zeek's own framework has nothing of the kind.

    agent ── NotifyNodeActions ──> controller ── DeploymentProgress, DeploymentOutcome ──> topic zeekfleet/deployments

Whoever does not know these events ignores them.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from zeekfleet.broker.events.base import Event, Request, ResultResponse
from zeekfleet.model.deployments import NodeAction
from zeekfleet.model.types import Count


class NotifyNodeActions(Event, frozen=True):
    """An agent has decided what it will do about its nodes, and has touched none yet; on its own topic.

    ``reqid`` is that of the ``deploy_request`` that the agent got.
    """

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_node_actions"
    instance: str
    reqid: str
    config_id: str
    actions: tuple[NodeAction, ...]


class DeploymentProgress(Event, frozen=True):
    """How far a deployment has come; told anew whenever any of this changes.

    Attributes:
        reqid: of the client's request, or of the controller's own deployment.
        config_id: of the configuration.
        step: what is going on, such as ``queued`` or ``waiting for instances``.
        place: how many deployments come before it; 0 when it is its turn.
        instances: by name, those that are awaited, and since when: ``never connected``, ``gone since 14:03``.
        nodes: those that are awaited.
        actions: what is done about each node, as far as the agents have told.
    """

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::deployment_progress"
    reqid: str
    config_id: str
    step: str
    place: Count = 0
    instances: dict[str, str] = msgspec.field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    actions: tuple[NodeAction, ...] = ()


class DeploymentOutcome(Event, frozen=True):
    """A deployment has ended; told before the ``deploy_response``.

    Attributes:
        reqid: as in its progress.
        config_id: of the configuration.
        success: whether every node runs as it should.
        errors: what went wrong, a sentence each.
        missing: by name, the instances that it was given up for, and since when they are gone.
        actions: what was done about each node, as far as the agents have told.
    """

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::deployment_outcome"
    reqid: str
    config_id: str
    success: bool
    errors: tuple[str, ...] = ()
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    actions: tuple[NodeAction, ...] = ()


class AbortDeploymentResponse(ResultResponse, frozen=True):
    """``result.data`` is a sentence: which deployment, what it was doing, and what that leaves behind."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::abort_deployment_response"


class AbortDeploymentRequest(Request[AbortDeploymentResponse], frozen=True):
    """Give a deployment up, whoever wanted it: the one of this request id, or the present one if ``""``."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::abort_deployment_request"
    deployment: str = ""
