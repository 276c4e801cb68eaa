"""``Management::Controller::API``: between client and controller (docs/protocol.md, section 8)."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, FirstSetConfigurationRequest, Request, ResultResponse, ResultsResponse
from zeekfleet.model.management import Configuration

API_VERSION = 1


class GetInstancesResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of ``Management::Instance``, sorted by name."""

    event_name: ClassVar[str] = "Management::Controller::API::get_instances_response"
    first_generation: ClassVar[bool] = True


class GetInstancesRequest(Request[GetInstancesResponse], frozen=True):
    """List the connected instances."""

    event_name: ClassVar[str] = "Management::Controller::API::get_instances_request"
    first_generation: ClassVar[bool] = True


class StageConfigurationResponse(ResultsResponse, frozen=True):
    """One success with the configuration's id, or only errors."""

    event_name: ClassVar[str] = "Management::Controller::API::stage_configuration_response"


class StageConfigurationRequest(Request[StageConfigurationResponse], frozen=True):
    """Validate and keep a configuration for a later deploy."""

    event_name: ClassVar[str] = "Management::Controller::API::stage_configuration_request"
    config: Configuration


class GetConfigurationResponse(ResultResponse, frozen=True):
    """``result.data`` is a ``Management::Configuration``."""

    event_name: ClassVar[str] = "Management::Controller::API::get_configuration_response"


class GetConfigurationRequest(Request[GetConfigurationResponse], frozen=True):
    """Return the deployed or the staged configuration."""

    event_name: ClassVar[str] = "Management::Controller::API::get_configuration_request"
    deployed: bool


class DeployResponse(ResultsResponse, frozen=True):
    """The agents' results, then one success with the configuration's id."""

    event_name: ClassVar[str] = "Management::Controller::API::deploy_response"


class DeployRequest(Request[DeployResponse], frozen=True):
    """Deploy the staged configuration."""

    event_name: ClassVar[str] = "Management::Controller::API::deploy_request"


class GetNodesResponse(ResultsResponse, frozen=True):
    """One result for each instance, with a vector of ``Management::NodeStatus``."""

    event_name: ClassVar[str] = "Management::Controller::API::get_nodes_response"
    first_generation: ClassVar[bool] = True


class GetNodesRequest(Request[GetNodesResponse], frozen=True):
    """List the nodes of every instance."""

    event_name: ClassVar[str] = "Management::Controller::API::get_nodes_request"
    first_generation: ClassVar[bool] = True


class GetIdValueResponse(ResultsResponse, frozen=True):
    """One result for each node, with the value as JSON text."""

    event_name: ClassVar[str] = "Management::Controller::API::get_id_value_response"


class GetIdValueRequest(Request[GetIdValueResponse], frozen=True):
    """Ask cluster nodes for the value of a global identifier; an empty ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Controller::API::get_id_value_request"
    id: str
    nodes: frozenset[str] = frozenset()


class RestartResponse(ResultsResponse, frozen=True):
    """One result for each node."""

    event_name: ClassVar[str] = "Management::Controller::API::restart_response"


class RestartRequest(Request[RestartResponse], frozen=True):
    """Restart cluster nodes; an empty ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Controller::API::restart_request"
    nodes: frozenset[str] = frozenset()


class TestTimeoutResponse(ResultResponse, frozen=True):
    """The request has timed out, as it asked for."""

    event_name: ClassVar[str] = "Management::Controller::API::test_timeout_response"
    first_generation: ClassVar[bool] = True


class TestTimeoutRequest(Request[TestTimeoutResponse], frozen=True):
    """Make the controller time out. With state, the response comes after the time-out; without, it never comes."""

    event_name: ClassVar[str] = "Management::Controller::API::test_timeout_request"
    first_generation: ClassVar[bool] = True
    with_state: bool


class NotifyAgentsReady(Event, frozen=True):
    """Every instance of the configuration is ready. An internal event of Zeek's controller; ours never sends it."""

    event_name: ClassVar[str] = "Management::Controller::API::notify_agents_ready"
    instances: frozenset[str]


class SetConfigurationResponse(ResultsResponse, frozen=True):
    """First generation: the agents' results."""

    event_name: ClassVar[str] = "ClusterController::API::set_configuration_response"


class SetConfigurationRequest(FirstSetConfigurationRequest[SetConfigurationResponse], frozen=True):
    """First generation: validate, stage and deploy in one."""

    event_name: ClassVar[str] = "ClusterController::API::set_configuration_request"
