"""``Management::Agent::API``: between controller and agent (docs/protocol.md, section 6)."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.enums import State
from zeekfleet.model.management import Configuration, Node, Result
from zeekfleet.model.types import Address, Count

API_VERSION = 1


class DeployResponse(Event, frozen=True):
    """One result a node, and one without node for what concerns the whole request."""

    event_name: ClassVar[str] = "Management::Agent::API::deploy_response"
    reqid: str
    results: tuple[Result, ...]


class DeployRequest(Event, frozen=True):
    """Adopt this configuration; with ``force`` even if it is running already."""

    event_name: ClassVar[str] = "Management::Agent::API::deploy_request"
    response: ClassVar[type[Event] | None] = DeployResponse
    reqid: str
    config: Configuration
    force: bool = False


class GetNodesResponse(Event, frozen=True):
    """``result.data`` is a vector of ``Management::NodeStatus``."""

    event_name: ClassVar[str] = "Management::Agent::API::get_nodes_response"
    first_generation: ClassVar[bool] = True
    reqid: str
    result: Result


class GetNodesRequest(Event, frozen=True):
    """List the processes under this agent's supervisor."""

    event_name: ClassVar[str] = "Management::Agent::API::get_nodes_request"
    response: ClassVar[type[Event] | None] = GetNodesResponse
    first_generation: ClassVar[bool] = True
    reqid: str


class NodeDispatchResponse(Event, frozen=True):
    """One result a node that was asked."""

    event_name: ClassVar[str] = "Management::Agent::API::node_dispatch_response"
    reqid: str
    results: tuple[Result, ...]


class NodeDispatchRequest(Event, frozen=True):
    """Have cluster nodes run an action; no ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Agent::API::node_dispatch_request"
    response: ClassVar[type[Event] | None] = NodeDispatchResponse
    reqid: str
    action: tuple[str, ...]
    nodes: frozenset[str] = frozenset()


class AgentWelcomeResponse(Event, frozen=True):
    """The agent is ready."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_welcome_response"
    first_generation: ClassVar[bool] = True
    reqid: str
    result: Result


class AgentWelcomeRequest(Event, frozen=True):
    """The agent is part of the cluster."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_welcome_request"
    response: ClassVar[type[Event] | None] = AgentWelcomeResponse
    first_generation: ClassVar[bool] = True
    reqid: str


class AgentStandbyResponse(Event, frozen=True):
    """The agent has let go of its nodes."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_standby_response"
    first_generation: ClassVar[bool] = True
    reqid: str
    result: Result


class AgentStandbyRequest(Event, frozen=True):
    """The agent is not needed: stop all nodes, stay connected."""

    event_name: ClassVar[str] = "Management::Agent::API::agent_standby_request"
    response: ClassVar[type[Event] | None] = AgentStandbyResponse
    first_generation: ClassVar[bool] = True
    reqid: str


class RestartResponse(Event, frozen=True):
    """One result a node."""

    event_name: ClassVar[str] = "Management::Agent::API::restart_response"
    reqid: str
    results: tuple[Result, ...]


class RestartRequest(Event, frozen=True):
    """Restart cluster nodes; no ``nodes`` means all."""

    event_name: ClassVar[str] = "Management::Agent::API::restart_request"
    response: ClassVar[type[Event] | None] = RestartResponse
    reqid: str
    nodes: frozenset[str] = frozenset()


class NotifyAgentHello(Event, frozen=True):
    """An agent checks in; ``id`` names its endpoint, ``connecting`` who dials."""

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
    """Something failed; ``node`` is empty where it concerns the whole instance."""

    event_name: ClassVar[str] = "Management::Agent::API::notify_error"
    first_generation: ClassVar[bool] = True
    instance: str
    msg: str
    node: str = ""


class NotifyLog(Event, frozen=True):
    """A step in a node's, or the instance's, life."""

    event_name: ClassVar[str] = "Management::Agent::API::notify_log"
    first_generation: ClassVar[bool] = True
    instance: str
    msg: str
    node: str = ""


class SetConfigurationResponse(Event, frozen=True):
    """First generation: the nodes are handed to the Supervisor."""

    event_name: ClassVar[str] = "ClusterAgent::API::set_configuration_response"
    reqid: str
    result: Result


class SetConfigurationRequest(Event, frozen=True):
    """First generation: adopt this configuration."""

    event_name: ClassVar[str] = "ClusterAgent::API::set_configuration_request"
    response: ClassVar[type[Event] | None] = SetConfigurationResponse
    reqid: str
    config: Configuration


class FirstNotifyAgentHello(Event, frozen=True):
    """First generation: an agent checks in, with the address it listens on."""

    event_name: ClassVar[str] = "ClusterAgent::API::notify_agent_hello"
    instance: str
    host: Address
    api_version: Count
