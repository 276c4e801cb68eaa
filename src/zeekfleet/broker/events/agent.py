"""``Management::Agent::API``: between controller and agent (docs/protocol.md, section 6)."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, FirstSetConfigurationRequest, Request, ResultResponse, ResultsResponse
from zeekfleet.model.enums import State
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.types import Address, Count

API_VERSION = 1


class DeployResponse(ResultsResponse, frozen=True):
    """One result for each node, and one without node for what concerns the whole request."""

    event_name: ClassVar[str] = "Management::Agent::API::deploy_response"


class DeployRequest(Request[DeployResponse], frozen=True):
    """Adopt this configuration; with ``force``, restart all nodes even if they run it already."""

    event_name: ClassVar[str] = "Management::Agent::API::deploy_request"
    config: Configuration
    force: bool = False


class GetNodesResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of ``Management::NodeStatus``."""

    event_name: ClassVar[str] = "Management::Agent::API::get_nodes_response"
    first_generation: ClassVar[bool] = True


class GetNodesRequest(Request[GetNodesResponse], frozen=True):
    """List the processes under this agent's supervisor."""

    event_name: ClassVar[str] = "Management::Agent::API::get_nodes_request"
    first_generation: ClassVar[bool] = True


class NodeDispatchResponse(ResultsResponse, frozen=True):
    """One result for each node that was asked."""

    event_name: ClassVar[str] = "Management::Agent::API::node_dispatch_response"


class NodeDispatchRequest(Request[NodeDispatchResponse], frozen=True):
    """Have cluster nodes run an action; an empty ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Agent::API::node_dispatch_request"
    action: tuple[str, ...]
    nodes: frozenset[str] = frozenset()


class AgentWelcomeResponse(ResultResponse, frozen=True):
    """The agent is ready."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_welcome_response"
    first_generation: ClassVar[bool] = True


class AgentWelcomeRequest(Request[AgentWelcomeResponse], frozen=True):
    """The agent is part of the cluster."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_welcome_request"
    first_generation: ClassVar[bool] = True


class AgentStandbyResponse(ResultResponse, frozen=True):
    """The agent has stopped its nodes and forgotten its configuration."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_standby_response"
    first_generation: ClassVar[bool] = True


class AgentStandbyRequest(Request[AgentStandbyResponse], frozen=True):
    """The agent is not part of the cluster: it stops all nodes and stays connected."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_standby_request"
    first_generation: ClassVar[bool] = True


class RestartResponse(ResultsResponse, frozen=True):
    """One result for each node."""

    event_name: ClassVar[str] = "Management::Agent::API::restart_response"


class RestartRequest(Request[RestartResponse], frozen=True):
    """Restart cluster nodes; an empty ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Agent::API::restart_request"
    nodes: frozenset[str] = frozenset()


class NotifyAgentHello(Event, frozen=True):
    """An agent says hello. ``id`` is its endpoint's; ``connecting`` tells whether the agent has dialled."""

    event_name: ClassVar[str] = "Management::Agent::API::notify_agent_hello"
    instance: str
    id: str
    connecting: bool
    api_version: Count


class NotifyChange(Event, frozen=True):
    """A node changed its state."""

    event_name: ClassVar[str] = "Management::Agent::API::notify_change"
    first_generation: ClassVar[bool] = True
    instance: str
    n: Node
    old: State
    new: State


class NotifyError(Event, frozen=True):
    """Something failed; ``node`` is empty if it concerns the whole instance."""

    event_name: ClassVar[str] = "Management::Agent::API::notify_error"
    first_generation: ClassVar[bool] = True
    instance: str
    msg: str
    node: str = ""


class NotifyLog(Event, frozen=True):
    """Something happened to a node; ``node`` is empty if it concerns the whole instance."""

    event_name: ClassVar[str] = "Management::Agent::API::notify_log"
    first_generation: ClassVar[bool] = True
    instance: str
    msg: str
    node: str = ""


class SetConfigurationResponse(ResultResponse, frozen=True):
    """First generation: the agent has given the nodes to its Supervisor."""

    event_name: ClassVar[str] = "ClusterAgent::API::set_configuration_response"


class SetConfigurationRequest(FirstSetConfigurationRequest[SetConfigurationResponse], frozen=True):
    """First generation: adopt this configuration."""

    event_name: ClassVar[str] = "ClusterAgent::API::set_configuration_request"


class FirstNotifyAgentHello(Event, frozen=True):
    """First generation: an agent says hello, with the address on which it listens."""

    event_name: ClassVar[str] = "ClusterAgent::API::notify_agent_hello"
    instance: str
    host: Address
    api_version: Count
