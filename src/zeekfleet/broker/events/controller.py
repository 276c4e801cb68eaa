"""``Management::Controller::API``: between client and controller (docs/protocol.md, section 8)."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.management import Configuration, Result

API_VERSION = 1


class GetInstancesResponse(Event, frozen=True):
    """``result.data`` is a vector of ``Management::Instance``, sorted by name."""

    event_name: ClassVar[str] = "Management::Controller::API::get_instances_response"
    first_generation: ClassVar[bool] = True
    reqid: str
    result: Result


class GetInstancesRequest(Event, frozen=True):
    """List the connected instances."""

    event_name: ClassVar[str] = "Management::Controller::API::get_instances_request"
    response: ClassVar[type[Event] | None] = GetInstancesResponse
    first_generation: ClassVar[bool] = True
    reqid: str


class StageConfigurationResponse(Event, frozen=True):
    """One success with the configuration's id, or only errors."""

    event_name: ClassVar[str] = "Management::Controller::API::stage_configuration_response"
    reqid: str
    results: tuple[Result, ...]


class StageConfigurationRequest(Event, frozen=True):
    """Validate and keep a configuration for a later deploy."""

    event_name: ClassVar[str] = "Management::Controller::API::stage_configuration_request"
    response: ClassVar[type[Event] | None] = StageConfigurationResponse
    reqid: str
    config: Configuration


class GetConfigurationResponse(Event, frozen=True):
    """``result.data`` is a ``Management::Configuration``."""

    event_name: ClassVar[str] = "Management::Controller::API::get_configuration_response"
    reqid: str
    result: Result


class GetConfigurationRequest(Event, frozen=True):
    """Give the deployed, or the staged, configuration."""

    event_name: ClassVar[str] = "Management::Controller::API::get_configuration_request"
    response: ClassVar[type[Event] | None] = GetConfigurationResponse
    reqid: str
    deployed: bool


class DeployResponse(Event, frozen=True):
    """The agents' results, then one success with the configuration's id."""

    event_name: ClassVar[str] = "Management::Controller::API::deploy_response"
    reqid: str
    results: tuple[Result, ...]


class DeployRequest(Event, frozen=True):
    """Deploy the staged configuration."""

    event_name: ClassVar[str] = "Management::Controller::API::deploy_request"
    response: ClassVar[type[Event] | None] = DeployResponse
    reqid: str


class GetNodesResponse(Event, frozen=True):
    """One result an instance, each with a vector of ``Management::NodeStatus``."""

    event_name: ClassVar[str] = "Management::Controller::API::get_nodes_response"
    first_generation: ClassVar[bool] = True
    reqid: str
    results: tuple[Result, ...]


class GetNodesRequest(Event, frozen=True):
    """List the nodes of every instance."""

    event_name: ClassVar[str] = "Management::Controller::API::get_nodes_request"
    response: ClassVar[type[Event] | None] = GetNodesResponse
    first_generation: ClassVar[bool] = True
    reqid: str


class GetIdValueResponse(Event, frozen=True):
    """One result a node, each with the value as JSON text."""

    event_name: ClassVar[str] = "Management::Controller::API::get_id_value_response"
    reqid: str
    results: tuple[Result, ...]


class GetIdValueRequest(Event, frozen=True):
    """The value of a global identifier in cluster nodes; no ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Controller::API::get_id_value_request"
    response: ClassVar[type[Event] | None] = GetIdValueResponse
    reqid: str
    id: str
    nodes: frozenset[str] = frozenset()


class RestartResponse(Event, frozen=True):
    """One result a node."""

    event_name: ClassVar[str] = "Management::Controller::API::restart_response"
    reqid: str
    results: tuple[Result, ...]


class RestartRequest(Event, frozen=True):
    """Restart cluster nodes; no ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Controller::API::restart_request"
    response: ClassVar[type[Event] | None] = RestartResponse
    reqid: str
    nodes: frozenset[str] = frozenset()


class TestTimeoutResponse(Event, frozen=True):
    """The request of the same id has timed out, as asked."""

    event_name: ClassVar[str] = "Management::Controller::API::test_timeout_response"
    first_generation: ClassVar[bool] = True
    reqid: str
    result: Result


class TestTimeoutRequest(Event, frozen=True):
    """Make the controller time out: with state an answer comes then, without never."""

    event_name: ClassVar[str] = "Management::Controller::API::test_timeout_request"
    response: ClassVar[type[Event] | None] = TestTimeoutResponse
    first_generation: ClassVar[bool] = True
    reqid: str
    with_state: bool


class NotifyAgentsReady(Event, frozen=True):
    """Internal to the controller: every instance of the configuration is ready."""

    event_name: ClassVar[str] = "Management::Controller::API::notify_agents_ready"
    instances: frozenset[str]


class SetConfigurationResponse(Event, frozen=True):
    """First generation: the agents' results."""

    event_name: ClassVar[str] = "ClusterController::API::set_configuration_response"
    reqid: str
    results: tuple[Result, ...]


class SetConfigurationRequest(Event, frozen=True):
    """First generation: validate, stage and deploy in one."""

    event_name: ClassVar[str] = "ClusterController::API::set_configuration_request"
    response: ClassVar[type[Event] | None] = SetConfigurationResponse
    reqid: str
    config: Configuration
